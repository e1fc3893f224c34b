"""The job that every peer of role live does, as one JSON argument, and the watch that times it.

Windows of 60 s on event time per client with images, sum, 100 bins and images over the client's
threshold; an alert for each image over it; state that survives. Peers run with packages of their
own, so nothing of Faust's is imported here.
"""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import psutil

from red_stats.domain.windows import Window, add

BINS = 100
POLL = 20_000  # events taken at once, as many as role live takes


class Job(NamedTuple):
    """Offsets `[start, end)` of a topic for a consumer group whose committed offsets are at `start`."""

    name: str  # of the consumer group; of its topics and files the first part
    bootstrap: str
    topic: str
    start: dict[int, int]
    end: dict[int, int]
    thresholds: dict[str, float]
    folder: str  # its own, empty
    servers: list[int]  # processes that work for it and are not its children
    how: str = ""  # which form of the peer
    warm: int = 0  # events before the watch starts

    @property
    def events(self) -> int:
        return sum(self.end.values()) - sum(self.start.values())

    @property
    def alerts(self) -> str:
        """The topic for its alerts; it exists."""
        return f"{self.name}-alerts"

    def to_json(self) -> str:
        return json.dumps(self._asdict())

    @classmethod
    def from_json(cls, text: str) -> "Job":
        fields = json.loads(text)
        for side in ("start", "end"):
            fields[side] = {int(number): offset for number, offset in fields[side].items()}
        return cls(**fields)


class Watch:
    """Wall and processor seconds of this process, its children and the servers that work for it."""

    def __init__(self, job: Job) -> None:
        self._pids = [psutil.Process().pid, *job.servers]
        self._events = job.events
        self.started = False

    def start(self) -> None:
        self.started = True
        self._wall, self._cpu = time.perf_counter(), cpu_of(self._pids)

    def stop(self) -> dict[str, float]:
        seconds = time.perf_counter() - self._wall
        return {"events": self._events, "seconds": seconds, "cpu": cpu_of(self._pids) - self._cpu}


def cpu_of(pids: list[int]) -> float:
    """Processor seconds that process trees have used; of children that have ended, too."""
    trees = [process for pid in pids for process in _tree(pid)]
    return sum(sum(process.cpu_times()[:4]) for process in trees)


def _tree(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def tell(figures: dict[str, Any], images: int, over: int) -> None:
    """What was measured, and what the peer's durable state holds, for the check."""
    print(json.dumps(figures | {"images": images, "over": over}), flush=True)


def basis_points(red: float) -> int:
    return int(red * 10_000 + 0.5)


def bin_of(red_bp: int) -> int:
    return min(red_bp // BINS, BINS - 1)


def added(window: Window, reds: Sequence[int], tallies: Mapping[str, tuple[int, int]]) -> Window:
    """Our own window after more images, for the peers that are given it."""
    return add(window, bytes(map(bin_of, reds)), sum(reds), tallies)
