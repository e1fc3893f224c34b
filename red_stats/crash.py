"""Named places at which a test lets the process die, as kill -9 would (RED_CRASH_AT).

`RED_CRASH_AT=live.in-transaction` dies at the first visit, `...#3` at the third, `...#3:stop` is
paused there instead. The names are those in this list, so that a test can go through all of them.
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

_armed: dict[str, tuple[int, signal.Signals]] = {}


def arm(spec: str | None) -> None:
    """Make the process die at the given point, or stop there as SIGSTOP would.

    Raises:
        ValueError: no such point.
    """
    if not spec:
        return
    named, _, action = spec.partition(":")
    point, _, visits = named.partition("#")
    if point not in POINTS:
        raise ValueError(f"RED_CRASH_AT: no crash point {point!r}, only {', '.join(POINTS)}")
    _armed[point] = (int(visits or 1), signal.SIGSTOP if action == "stop" else signal.SIGKILL)


def at(point: str) -> None:
    """Die or stop here if a test asked for it."""
    if not _armed:
        return
    left, number = _armed.get(point, (0, signal.SIGKILL))
    _armed[point] = (left - 1, number)
    if left == 1:
        os.kill(os.getpid(), number)
