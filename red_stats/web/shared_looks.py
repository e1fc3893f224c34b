"""What several readers want to know of a client, found out once for all of them."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator

#: client_id -> what `/v1/live` says now, and where; None while no worker that holds the client answers
LiveNow = Callable[[str], Awaitable[bytes | None]]
Look = asyncio.Task[bytes | None]


class SharedLooks:
    """Looks at clients: of each one at a time, and none within `seconds` of the beginning of the last.

    `now` is a clock in seconds.
    """

    def __init__(self, live_now: LiveNow, seconds: float, now: Callable[[], float]) -> None:
        self._live_now, self._seconds, self._now = live_now, seconds, now
        self._last: dict[str, tuple[float, Look]] = {}
        self._readers: dict[str, int] = {}

    @contextlib.contextmanager
    def of(self, client_id: str) -> Iterator[Callable[[], Look]]:
        """For one more reader: a function that gives the last look at the client, or a new one if it is time.

        The look may be under way still, and is everybody's: only the last reader who leaves ends it.
        """
        self._readers[client_id] = self._readers.get(client_id, 0) + 1
        try:
            yield lambda: self._look(client_id)
        finally:
            self._readers[client_id] -= 1
            if not self._readers[client_id]:
                del self._readers[client_id]
                if client_id in self._last:
                    self._last.pop(client_id)[1].cancel()

    def _look(self, client_id: str) -> Look:
        if client_id in self._last:
            begun, look = self._last[client_id]
            if not look.done() or self._now() < begun + self._seconds:
                return look
        look = asyncio.ensure_future(self._live_now(client_id))
        self._last[client_id] = self._now(), look
        return look
