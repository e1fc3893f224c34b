"""Named places at which a test lets the process die, as kill -9 would (RED_CRASH_AT).

`live.in-transaction` dies at the first visit, `...#3` at the third, `...#3:stop` is paused there
instead. Only listed names can be armed, so that a test can go through all of them.
"""

import os
import signal
from typing import Final

RED_POINTS: Final = (
    "red.before-intent",
    "red.before-transaction",
    "red.in-transaction",
    "red.after-transaction",
    "red.after-answer",
)
STATS_POINTS: Final = (
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

POINTS: Final = (*RED_POINTS, *STATS_POINTS)

_armed: Final[dict[str, tuple[int, signal.Signals]]] = {}


def parse(spec: str) -> tuple[str, int, signal.Signals]:
    """The point, the visit at which it acts, and the signal that the process sends itself then.

    Raises:
        ValueError: there is no such point.
    """
    named, _, action = spec.partition(":")
    point, _, visits = named.partition("#")
    if point not in POINTS:
        raise ValueError(f"no crash point {point!r}, only {', '.join(POINTS)}")
    return point, int(visits or 1), signal.SIGSTOP if action == "stop" else signal.SIGKILL


def arm(spec: str) -> None:
    """Make this process die (or stop) at a point; an empty `spec` arms nothing."""
    if spec:
        point, visits, number = parse(spec)
        _armed[point] = (visits, number)


def hit(point: str) -> None:
    """Die or stop here if a test asked for it."""
    if not _armed:
        return
    left, number = _armed.get(point, (0, signal.SIGKILL))
    _armed[point] = (left - 1, number)
    if left == 1:
        os.kill(os.getpid(), number)
