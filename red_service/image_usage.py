"""How many bytes of images are kept for each client, within a quota.

A client's images are counted when it comes for the first time, or again after `forget`, and by `recount`;
between two counts what this process stores is added. So a count is off by what other processes have stored
since the last one, and by what was stored while it was counted.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

log = logging.getLogger(__name__)

FIRST_COUNT_SECONDS: Final = 2.0  # that an image waits for it; it is taken if that is not enough


class QuotaExceeded(Exception):
    """Raised when a client may not store more: it has `used` of `quota` bytes."""

    def __init__(self, used: int, quota: int) -> None:
        super().__init__(f"{used} of {quota} bytes are in use")
        self.used, self.quota = used, quota


@dataclass(slots=True)
class _Usage:
    counting: "asyncio.Task[None] | None" = None
    counted: int = 0
    added: int = 0  # since the count began
    asked: bool = True  # since the last recount

    @property
    def bytes(self) -> int:
        return self.counted + self.added


class ImageUsage:
    """Counts up to `quota` bytes of each client; `count(client_id)` gives what is stored.

    An error of `count` leaves what was known until the next one.
    """

    def __init__(self, quota: int, count: Callable[[str], Awaitable[int]]) -> None:
        self._quota, self._count = quota, count
        self._clients: dict[str, _Usage] = {}

    async def take(self, client_id: str, size: int) -> None:
        """Counts `size` bytes that are about to be stored.

        Raises:
            QuotaExceeded: the client would have more than the quota; nothing is counted.
        """
        usage = self._clients.get(client_id)
        if usage is None:
            usage = self._clients[client_id] = _Usage()
            usage.counting = asyncio.create_task(self._counted(client_id, usage), name="count images")
        usage.asked = True
        if usage.counting is not None:
            await asyncio.wait({usage.counting}, timeout=FIRST_COUNT_SECONDS)
        if usage.bytes + size > self._quota:
            raise QuotaExceeded(usage.bytes, self._quota)
        usage.added += size

    def give_back(self, client_id: str, size: int) -> None:
        """Takes back bytes that were not stored after all."""
        usage = self._clients.get(client_id)
        if usage is not None:
            usage.added -= size

    def forget(self, client_id: str) -> None:
        """Has a client counted anew when it comes again: what it had was deleted."""
        self._clients.pop(client_id, None)

    async def recount(self) -> None:
        """Counts the clients anew that have come since the last time, and forgets the others."""
        for client_id, usage in list(self._clients.items()):
            if not usage.asked and usage.counting is None:
                self._clients.pop(client_id, None)  # perhaps forgotten meanwhile
                continue
            usage.asked = False
            if usage.counting is None:
                await self._counted(client_id, usage)

    async def _counted(self, client_id: str, usage: _Usage) -> None:
        before = usage.added
        try:
            usage.counted, usage.added = await self._count(client_id), usage.added - before
        except Exception as error:
            log.warning("could not count the images of %s: %s", client_id, error)
        finally:
            usage.counting = None
