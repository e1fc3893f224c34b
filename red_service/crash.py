"""Named places at which a test lets the process die, as kill -9 would (RED_CRASH_AT).

`live.in-transaction` dies at the first visit, `...#3` at the third, `...#3:stop` is paused there
instead. Only listed names can be armed, so that a test can go through all of them.
"""

import os
import signal
from collections.abc import Sequence
from typing import Final


class Points:
    """The crash points of one program."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._armed: dict[str, tuple[int, signal.Signals]] = {}

    def arm(self, spec: str | None) -> None:
        """Make the process die at the given point, or stop there as SIGSTOP would.

        Raises:
            ValueError: no such point.
        """
        if not spec:
            return
        named, _, action = spec.partition(":")
        point, _, visits = named.partition("#")
        if point not in self.names:
            raise ValueError(f"RED_CRASH_AT: no crash point {point!r}, only {', '.join(self.names)}")
        self._armed[point] = (int(visits or 1), signal.SIGSTOP if action == "stop" else signal.SIGKILL)

    def at(self, point: str) -> None:
        """Die or stop here if a test asked for it."""
        if not self._armed:
            return
        left, number = self._armed.get(point, (0, signal.SIGKILL))
        self._armed[point] = (left - 1, number)
        if left == 1:
            os.kill(os.getpid(), number)


POINTS: Final = (
    "red.before-intent",
    "red.before-transaction",
    "red.in-transaction",
    "red.after-transaction",
    "red.after-answer",
)
points: Final = Points(POINTS)
arm, at = points.arm, points.at
