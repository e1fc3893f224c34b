"""Named points at which a test can kill the process, as kill -9 would (RED_CRASH_AT).

`live.in-transaction` kills it on the first visit, `...#3` on the third; `...#3:stop` pauses it there
with SIGSTOP instead. Only the names listed here can be armed, so a test can cover every one of them.
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
    "record.before-seal",
    "record.after-seal",
    "record.before-erase",
    "record.after-erase",
)

POINTS: Final = (*RED_POINTS, *STATS_POINTS)

_armed: Final[dict[str, tuple[int, signal.Signals]]] = {}


def parse(spec: str) -> tuple[str, int, signal.Signals]:
    """The point of a `spec`, the visit on which it acts (from 1), and the signal the process sends itself.

    Raises:
        ValueError: there is no such point, or the visit is not a number.
    """
    named, _, action = spec.partition(":")
    point, _, visits = named.partition("#")
    if point not in POINTS:
        raise ValueError(f"there is no crash point {point!r}; use one of {', '.join(POINTS)}")
    if visits and not (visits.isascii() and visits.isdigit()):
        raise ValueError(f"{visits!r} is no number of a visit")
    return point, int(visits or 1), signal.SIGSTOP if action == "stop" else signal.SIGKILL


def arm(spec: str) -> None:
    """Make this process die (or pause) at a point; an empty `spec` arms nothing.

    Raises:
        ValueError: there is no such point, or the visit is not a number.
    """
    if spec:
        point, visits, number = parse(spec)
        _armed[point] = (visits, number)


def hit(point: str) -> None:
    """Die or pause here if this point is armed and this is its visit."""
    if not _armed:
        return
    left, number = _armed.get(point, (0, signal.SIGKILL))
    _armed[point] = (left - 1, number)
    if left == 1:
        os.kill(os.getpid(), number)
