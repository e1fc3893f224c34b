"""Limits how often a library's repeated messages are logged; some repeat hundreds of times a second."""

import logging
import time
from collections.abc import Callable
from typing import Final

SECONDS: Final = 10.0  # between two records of one kind
LIBRARIES: Final = ("aiokafka", "faust", "mode", "asyncio")


class Throttle(logging.Filter):
    """A filter for handlers: one record of each kind from LIBRARIES per `seconds`.

    A kind is the line of source that logs it. The next record of a kind that is let through says how
    many were left out before it. Records of anybody else always pass.
    """

    def __init__(self, seconds: float = SECONDS, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._seconds, self._monotonic = seconds, monotonic
        self._heard: dict[tuple[str, int], float] = {}
        self._left_out: dict[tuple[str, int], int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the handler should write the record; appends the count of those left out."""
        if record.name.partition(".")[0] not in LIBRARIES:
            return True
        kind, now = (record.pathname, record.lineno), self._monotonic()
        if now - self._heard.get(kind, -self._seconds) < self._seconds:
            self._left_out[kind] = self._left_out.get(kind, 0) + 1
            return False
        self._heard[kind] = now
        if left_out := self._left_out.pop(kind, 0):
            record.msg, record.args = f"{record.getMessage()} (and {left_out} more like it)", ()
        return True
