"""Bounds the bytes that the bodies of requests hold, all together and those of each client."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from red_common.problems import Problem


class BodyMemory:
    """The bytes of bodies from first byte to response: `held` in all, never more than `limit`.

    A client gets no more once it holds as much as is free. So one client has at most half of the limit, and
    whoever comes next finds room, however slowly the bodies of others come.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._of: Counter[str] = Counter()
        self.held = 0

    @contextmanager
    def share(self, client_id: str) -> Iterator["Share"]:
        """One request's share, which is given back when the block ends."""
        share = Share(self, client_id)
        try:
            yield share
        finally:
            self._give_back(client_id, share.held)

    def claim(self, client_id: str, size: int) -> None:
        """Counts `size` more bytes as held by a client.

        Raises:
            Problem: 503 `overloaded`, it would hold more than would be left for others.
        """
        if size and self._of[client_id] + size > self._limit - self.held - size:
            detail = "Too many request bodies are being received; try again later."
            raise Problem("overloaded", detail, retry_after=1, close=True)
        self._of[client_id] += size
        self.held += size

    def _give_back(self, client_id: str, size: int) -> None:
        self.held -= size
        self._of[client_id] -= size
        if not self._of[client_id]:
            del self._of[client_id]


class Share:
    """The bytes that one request of a client holds of a BodyMemory."""

    def __init__(self, memory: BodyMemory, client_id: str) -> None:
        self._memory, self._client_id = memory, client_id
        self.held = 0

    def claim(self, size: int) -> None:
        """Counts `size` more bytes as held; raises what `BodyMemory.claim` raises."""
        self._memory.claim(self._client_id, size)
        self.held += size
