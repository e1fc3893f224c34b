"""A small file system that another tenant fills: to the last byte, or below what the guard asks for."""

import contextlib
import json
import random
import shutil
import signal
import subprocess
import threading
import time

from tests.faults.harness.disks import Disk
from tests.faults.sink.rules import Verdict

DISK_MIB, GUARD_MIB = 64, 24


class Stream:
    """A child that records the log onto a small disk; started again when it exits by itself."""

    def __init__(self, workshop, asked):
        self.lines, self.restarts, self.errors, self.code = [], 0, "", None
        self._workshop, self._asked = workshop, asked
        self._stop = False
        self._process = None
        self._thread = threading.Thread(target=self._supervise)
        self._thread.start()

    def _supervise(self):
        while True:
            self._process = self._workshop.start(self._asked, stderr=subprocess.STDOUT)
            for line in self._process.stdout:
                if line.startswith("{"):
                    with contextlib.suppress(json.JSONDecodeError):
                        self.lines.append(json.loads(line))
                else:
                    self.errors = (self.errors + line)[-100_000:]
            self.code = self._process.wait()
            if self._stop or self.code == -signal.SIGKILL:
                return
            self.restarts += 1
            time.sleep(0.3)

    def last(self, name, otherwise=-1):
        return next((line[name] for line in reversed(self.lines) if name in line), otherwise)

    def since(self, moment, name):
        """What was said of it after that time."""
        return [line[name] for line in list(self.lines) if name in line and line.get("at", 0) > moment]

    def wait(self, seconds):
        """Whether it has recorded all of its log by then."""
        self._thread.join(seconds)
        done = not self._thread.is_alive()
        self.kill()
        return done

    def kill(self):
        self._stop = True
        self._process.kill()
        self._thread.join()


def to_the_last_byte(workshop, rounds):
    """No guard: writes fail anywhere, in inserts and in merges. Then room, the end, and a reopen."""
    disk = Disk(workshop.folder / "full", DISK_MIB)
    try:
        log = {"end": 100 * rounds}
        folder = disk.folder / "store"
        workshop.child({"do": "prepare", "folder": str(folder), "quiet": False})
        stream = Stream(workshop, {"do": "stream", "folder": str(folder), "log": log})
        for _ in range(rounds):
            time.sleep(0.1 + random.random() * 0.4)
            disk.fill()
            time.sleep(random.random())
            disk.clear()
        finished = stream.wait(60)
        copy = workshop.folder / "full-copy"
        shutil.copytree(folder, copy, symlinks=True)
        verdict = workshop.recovered(copy, stream.last("acknowledged"), log=log)
        refused = stream.errors.count("insert failed")
        if not finished:
            verdict.findings.append(f"wedged at {stream.last('acknowledged')}")
        verdict.findings += [f"crashed: {stream.errors[-500:]}"] * (stream.code in (-6, -11))
        return verdict, [f"{refused} inserts refused or failed, {stream.restarts} restarts"]
    finally:
        disk.close()


def guarded(workshop):
    """Below the guard inserts are refused, merges stop and it is told; above it goes on by itself."""
    disk = Disk(workshop.folder / "guarded", DISK_MIB)
    try:
        folder = disk.folder / "store"
        asked = {"do": "stream", "folder": str(folder), "min_free": GUARD_MIB << 20, "log": {"end": 10_000},
                 "probe": True, "patient": True}  # fmt: skip
        stream = Stream(workshop, asked)
        time.sleep(4)
        before = stream.last("acknowledged")
        ballast = disk.folder / "tenant"
        with ballast.open("wb") as file:
            file.write(bytes(disk.free - (GUARD_MIB << 19)))
        low = time.time() + 1
        time.sleep(4)
        found = Verdict(findings=[] if before >= 0 else ["nothing was recorded"])
        merged, inserted = stream.since(low, "merged"), stream.since(low, "acknowledged")
        if inserted:
            found.findings.append(f"{len(inserted)} inserts below the guard")
        if any(merged):
            found.findings.append(f"{sum(merged)} of {len(merged)} merges were done below the guard")
        if "ERROR" not in stream.errors:
            found.findings.append("no alarm, only warnings")
        ballast.unlink()
        free = time.time()
        while not stream.since(free, "acknowledged") and time.time() < free + 15:
            time.sleep(0.1)
        if not stream.since(free, "acknowledged"):
            found.findings.append("does not go on by itself")
        notes = [f"went on after {time.time() - free:.1f} s, {stream.restarts} restarts"]
        time.sleep(1)
        stream.kill()
        log = {"end": stream.last("acknowledged") + 20}
        verdict = workshop.recovered(folder, stream.last("acknowledged"), log=log)
        verdict.findings += found.findings
        return verdict, notes
    finally:
        disk.close()
