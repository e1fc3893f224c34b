"""A library that says the same thing hundreds of times a second, heard once in a while."""

import logging
import time
from collections.abc import Callable
from typing import Final

SECONDS: Final = 10.0
LIBRARIES: Final = ("aiokafka", "faust", "mode", "asyncio")


class Throttle(logging.Filter):
    """For a handler: one record of each kind and library in `seconds`, with how many were left out."""

    def __init__(self, seconds: float = SECONDS, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._seconds, self._monotonic = seconds, monotonic
        self._heard: dict[tuple[str, int], float] = {}
        self._left_out: dict[tuple[str, int], int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the handler shall write it."""
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


def throttle_libraries() -> None:
    """On every handler of the root logger."""
    throttle = Throttle()
    for handler in logging.getLogger().handlers:
        handler.addFilter(throttle)
