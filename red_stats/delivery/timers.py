"""At most one timer for each key."""

import asyncio
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


class Timers(Generic[Key]):
    """Calls `call` with a key when its time has come."""

    def __init__(self, call: Callable[[Key], None]) -> None:
        self._call = call
        self._handles: dict[Key, asyncio.TimerHandle] = {}

    def set(self, key: Key, ms: int) -> None:
        """Start the timer of a key anew; it goes off after so many ms, or soon if they are not positive."""
        self.cancel(key)
        seconds = max(0.0, ms / 1000)
        self._handles[key] = asyncio.get_running_loop().call_later(seconds, self._expired, key)

    def cancel(self, key: Key) -> None:
        """Stop the timer of a key, if there is one."""
        handle = self._handles.pop(key, None)
        if handle is not None:
            handle.cancel()

    def cancel_all(self) -> None:
        """Stop all of them."""
        for key in list(self._handles):
            self.cancel(key)

    def _expired(self, key: Key) -> None:
        self._handles.pop(key, None)
        self._call(key)
