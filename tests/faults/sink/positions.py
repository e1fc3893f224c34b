"""One position: a copy of a prepared store, a victim stopped at one call, a fresh process that goes on."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.sink import counter
from tests.faults.sink.recorder import FATAL
from tests.faults.sink.rules import Verdict

ROOT = Path(__file__).resolve().parents[3]
WEDGED = 20.0  # seconds after which a child is stuck
RESTARTS = 3


@dataclass
class Told:
    """What a child said before it ended."""

    code: int | None  # None: stuck, and killed
    lines: list = field(default_factory=list)
    errors: str = ""

    def last(self, name, otherwise=None):
        return next((line[name] for line in reversed(self.lines) if name in line), otherwise)


@dataclass
class Position:
    """What came of one call; `call` is what it was, None when it was never reached."""

    at: int
    call: str | None
    verdict: Verdict


class Workshop:
    """Prepared stores and the library, under one folder."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._library = counter.built(folder)
        self._numbers = itertools.count()

    def start(self, asked, *, trace=None, stderr=subprocess.PIPE):
        """A child, under the counter when there is a file for its trace."""
        environment = os.environ | {"TMPDIR": str(self.folder), "PYTHONPATH": str(ROOT)}
        if trace is not None:
            environment |= counter.environment(self._library, Path(asked["folder"]), trace)
        command = [sys.executable, "-m", "tests.faults.sink.driver", json.dumps(asked)]
        return subprocess.Popen(
            command, env=environment, text=True, stdout=subprocess.PIPE, stderr=stderr, cwd=ROOT
        )

    def child(self, asked, *, trace=None, seconds=WEDGED):
        """Run one to its end."""
        process = self.start(asked, trace=trace)
        try:
            out, errors = process.communicate(timeout=seconds)
            code = process.returncode
        except subprocess.TimeoutExpired:
            process.kill()
            (out, errors), code = process.communicate(), None
        lines = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
        return Told(code, lines, errors)

    def base(self, name, **asked):
        """A prepared store, made once."""
        folder = self.folder / f"base-{name}"
        if not folder.exists():
            told = self.child({"do": "prepare", "folder": str(folder), **asked})
            assert told.code == 0, told.errors
        return folder

    def empty(self):
        """A folder without a store."""
        folder = self.folder / "base-empty"
        folder.mkdir(exist_ok=True)
        return folder

    def census(self, base, **asked):
        """The calls of the whole operation, in their order."""
        name = f"census-{next(self._numbers)}"
        calls = self._played(base, asked | {"mode": "count", "at": 0}, name)[1]
        shutil.rmtree(self.folder / name)
        return calls

    def position(self, base, mode, at, **asked):
        """Stop it there, and judge what a fresh process makes of it."""
        name = f"{base.name}-{mode}-{at}-{'-'.join(map(str, asked.values()))}"
        folder = self.folder / name
        told, calls = self._played(base, asked | {"mode": mode, "at": at}, name)
        verdict = self._judged(folder, told, asked)
        if not verdict.findings:
            shutil.rmtree(folder)
        return Position(at, calls[at - 1] if len(calls) >= at else None, verdict)

    def _played(self, base, asked, name):
        folder, trace = self.folder / name, self.folder / f"{name}.trace"
        shutil.copytree(base, folder, symlinks=True)
        trace.unlink(missing_ok=True)
        told = self.child(asked | {"folder": str(folder)}, trace=trace)
        return told, counter.calls(trace)

    def _judged(self, folder, told, asked):
        if told.code not in (-signal.SIGKILL, FATAL):
            why = "wedged" if told.code is None else f"crashed: {told.code} {last_line(told)}"
            return Verdict(findings=[why])
        return self.recovered(folder, told.last("acknowledged", -1), **{"break": asked.get("break")})

    def recovered(self, folder, acknowledged, **asked):
        """What a fresh process makes of it, started again when it exits by itself."""
        asked |= {"do": "recover", "folder": str(folder), "acknowledged": acknowledged}
        for _ in range(RESTARTS):
            told = self.child(asked)
            if told.code != FATAL:
                break
        if told.code != 0:
            why = "wedged" if told.code is None else f"does not open: {last_line(told)}"
            return Verdict(findings=[why])
        return Verdict(*(told.last(name) for name in ("lost", "doubled", "fell", "findings")))


def last_line(told):
    """What a child died of."""
    return (told.errors.strip().splitlines() or [""])[-1][:200]
