"""The whole system as `red-stats up` starts it, in a folder of its own, for benchmarks."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
import psutil

from bench.runs import ROOT, a_broker
from red_stats.local.ports import free_port

WORDS = (  # the first that fits names a process
    ("kafka", "kafka.Kafka"),
    ("decoders", "red_service.decoding.worker"),
    ("red", "-m red_service"),
    ("hostile client", "bench.run_attack"),
    ("deliver", "worker --role deliver"),
    ("worker", "red_stats worker"),
)


def memory(process: psutil.Process) -> float:
    """MiB, pages shared among n processes counted as an nth; 0 when it has just ended."""
    try:
        return float(process.memory_full_info().pss) / (1 << 20)
    except psutil.Error:
        return 0.0


class System:
    """A running `red-stats up` of the checkout `tree`."""

    def __init__(self, folder: Path, *, tree: str = str(ROOT), **settings: str) -> None:
        self.folder, self._tree = folder, tree
        ports = {name: str(free_port()) for name in ("RED_PORT", "RED_STATS_PORT", "RED_KAFKA_PORT")}
        self.environment = os.environ | {"RED_DATA": str(folder / "data")} | ports | settings
        self.red = f"http://127.0.0.1:{ports['RED_PORT']}"
        self.stats = f"http://127.0.0.1:{ports['RED_STATS_PORT']}"
        self.kafka = f"127.0.0.1:{ports['RED_KAFKA_PORT']}"
        self.log = folder / "up.log"

    def start(self) -> float:
        """Seconds until the ready line."""
        started = time.monotonic()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "red_stats", "up"],
                cwd=self._tree, env=self.environment, stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line.startswith("ready "):
            raise SystemExit(f"`red-stats up` did not start: {self.log.read_text()[-1000:]}")
        return time.monotonic() - started

    def stop(self) -> float:
        """Seconds until everything has ended."""
        started = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        self.process.wait(30)
        return time.monotonic() - started

    def parts(self) -> dict[str, list[psutil.Process]]:
        """Its processes by what they are; one that has just ended is left out."""
        return _by_part(psutil.Process(self.process.pid), "supervisor")

    def key(self, client: str) -> str:
        """A new key of a client, known to both services."""
        command = [sys.executable, "-m", "red_stats", "keys", "create", client, "--json"]
        done = subprocess.run(
            command, cwd=self._tree, env=self.environment, capture_output=True, text=True, check=True
        )
        made: dict[str, Any] = json.loads(done.stdout)
        return str(made["api_key"])


def spent() -> dict[str, float]:
    """Processor seconds so far by part of this process, which is the load; of a replaced decoder none."""
    found: dict[str, float] = defaultdict(float)
    for name, processes in _by_part(psutil.Process(), "load").items():
        for process in processes:
            with suppress(psutil.Error):
                used = process.cpu_times()
                found[name] += used.user + used.system
    return found


def _by_part(whole: psutil.Process, other: str) -> dict[str, list[psutil.Process]]:
    """A process and its children by what they are; one that has just ended is left out."""
    found: dict[str, list[psutil.Process]] = defaultdict(list)
    for process in (whole, *whole.children(recursive=True)):
        with suppress(psutil.Error):
            words = " ".join(process.cmdline())
            found[next((name for name, word in WORDS if word in words), other)].append(process)
    return found


@contextmanager
def a_system(*, tree: str = str(ROOT), **settings: str) -> Iterator[System]:
    with TemporaryDirectory(prefix="red-bench-") as folder:
        system = System(Path(folder), tree=tree, **settings)
        system.start()
        try:
            yield system
        finally:
            system.stop()


@contextmanager
def red_alone(**settings: str) -> Iterator[System]:
    """Kafka and RED, and nothing that reads what RED publishes."""
    with a_broker() as (kafka, folder):
        system = System(folder, RED_KAFKA=kafka.bootstrap, **settings)
        subprocess.run(
            [sys.executable, "-m", "red_stats", "topics"],
            cwd=ROOT, env=system.environment, check=True, capture_output=True,
        )  # fmt: skip
        with system.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "red_service"], cwd=ROOT, env=system.environment, stderr=log
            )
        try:
            asyncio.run(_until_ready(system))
            yield system
        finally:
            process.terminate()
            process.wait(30)


async def _until_ready(system: System) -> None:
    async with aiohttp.ClientSession() as session, asyncio.timeout(60):
        while True:
            with suppress(aiohttp.ClientError):
                async with session.get(f"{system.red}/health/ready") as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.1)


def bearer(key: str) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def until_known(session: aiohttp.ClientSession, url: str, key: str) -> None:
    """Keys reach both services within a second."""
    while True:
        async with session.get(url, headers=bearer(key)) as answer:
            if answer.status != 401:
                return
        await asyncio.sleep(0.05)
