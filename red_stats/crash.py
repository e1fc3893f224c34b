"""Named places at which a test lets the process die, as kill -9 would (RED_CRASH_AT).

`RED_CRASH_AT=live.in-transaction` dies at the first visit, `...#3` at the third. The names are
those in this list, so that a test can go through all of them.
"""

import os
import signal
from typing import Final

POINTS: Final = (
    "live.before-transaction",
    "live.in-transaction",
    "live.after-transaction",
    "live.before-ack",
    "deliver.before-transaction",
    "deliver.in-transaction",
    "deliver.after-transaction",
    "deliver.before-ack",
    "deliver.before-post",
    "deliver.after-post",
    "record.before-transaction",
    "record.in-transaction",
    "record.after-transaction",
    "record.before-insert",
    "record.after-insert",
    "record.before-ack",
)

_armed: dict[str, int] = {}


def arm(spec: str | None) -> None:
    """Make the process die at the given point.

    Raises:
        ValueError: no such point.
    """
    if not spec:
        return
    point, _, visits = spec.partition("#")
    if point not in POINTS:
        raise ValueError(f"RED_CRASH_AT: no crash point {point!r}, only {', '.join(POINTS)}")
    _armed[point] = int(visits or 1)


def at(point: str) -> None:
    """Die here if a test asked for it."""
    if not _armed:
        return
    left = _armed.get(point)
    if left is None:
        return
    _armed[point] = left - 1
    if left == 1:
        os.kill(os.getpid(), signal.SIGKILL)
