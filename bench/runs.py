"""Child processes that measure themselves, and medians over rounds in which they take turns."""

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.threads import between, seconds_by_thread
from red_stats.local.kafka import Kafka, new_kafka
from red_stats.local.ports import free_port
from red_stats.store.clickhouse import Store

ROOT = Path(__file__).resolve().parents[1]


@contextmanager
def a_broker() -> Iterator[tuple[Kafka, Path]]:
    """An empty Kafka in a folder of its own; both are gone afterwards."""
    import asyncio

    with TemporaryDirectory(prefix="red-bench-") as folder:
        kafka = new_kafka(Path(folder) / "kafka", free_port(), free_port())
        kafka.start()
        try:
            asyncio.run(kafka.until_ready())
            yield kafka, Path(folder)
        finally:
            kafka.stop()


@contextmanager
def a_store() -> Iterator[Store]:
    """An empty store in a folder of its own; both are gone afterwards."""
    with TemporaryDirectory(prefix="red-bench-") as folder:
        store = Store.in_folder(Path(folder), min_free_bytes=0)
        store.open()
        try:
            yield store
        finally:
            store.close()


class Stopwatch:
    """Wall and processor seconds of this process between `start` and `stop`."""

    started = False

    def start(self) -> None:
        self.started = True
        self._threads = seconds_by_thread()
        self._wall, self._cpu = time.perf_counter(), _cpu()

    def stop(self) -> dict[str, Any]:
        found = {"seconds": time.perf_counter() - self._wall, "cpu": _cpu() - self._cpu}
        return found | {"threads": between(self._threads, seconds_by_thread())}


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def measured(module: str, *arguments: str, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Run `python -m module`; its last line of stdout is what it measured, as JSON."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env=os.environ | dict(environment or {}),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        raise SystemExit(f"{module} failed ({done.returncode}): {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(lines[-1])
    return found


class Rounds:
    """Figures by name, added round by round; the medians tell."""

    def __init__(self) -> None:
        self._figures: dict[str, list[float]] = defaultdict(list)

    def add(self, name: str, figure: float) -> None:
        self._figures[name].append(figure)

    def median(self, name: str) -> float:
        return statistics.median(self._figures[name])

    def ratio(self, name: str, other: str) -> float:
        """Median of the ratios round by round, so that a slow moment of the machine hits both."""
        pairs = zip(self._figures[name], self._figures[other], strict=True)
        return statistics.median(one / two for one, two in pairs)

    def spread(self, name: str) -> str:
        figures = self._figures[name]
        return f"{min(figures):,.0f} to {max(figures):,.0f}"


def told(text: str, ratio: float, goal: float | None = None, *, at_least: bool = True) -> None:
    """One line: a ratio, and beside it the goal it is held against."""
    against = "" if goal is None else f"   (goal {'>=' if at_least else '<='} {goal:g})"
    print(f"{text:<58} {ratio:8.2f}{against}", flush=True)


def repeated(times: int, work: Callable[[int], None]) -> None:
    """Rounds with a word on each, since they take long."""
    for number in range(times):
        print(f"   round {number + 1} of {times}", file=sys.stderr, flush=True)
        work(number)
