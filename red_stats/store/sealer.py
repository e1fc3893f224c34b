"""Seals the images of big clients by day, in the background of role record."""

import asyncio
from collections.abc import Callable, Container
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Final, TypeVar

from red_stats.domain.erasure import ErasedOf
from red_stats.store.background import each, in_background
from red_stats.store.daily import Big, Seals
from red_stats.store.recorder import Recorder

INTERVAL: Final = 60.0  # seconds between looking for what is worth a seal
Result = TypeVar("Result")


class Sealer:
    """Makes seals of the partitions that are held here, one after another."""

    def __init__(
        self,
        seals: Seals,
        recorder: Recorder,
        held: Callable[[], Container[int]],
        erased_of: ErasedOf,
        interval: float = INTERVAL,
    ) -> None:
        self._seals, self._recorder, self._held, self._erased_of = seals, recorder, held, erased_of
        self._interval = interval
        self._thread = ThreadPoolExecutor(1, "store-seal")

    def running(self) -> AbstractAsyncContextManager[None]:
        """Makes seals meanwhile."""
        failed = "images could not be sealed by day"  # statistics are right without seals
        return in_background(self.round, self._thread, interval=self._interval, pause=0.0, failed=failed)

    async def round(self) -> int:
        """Make every seal that is worth it now; returns how many.

        Raises:
            StoreError: the store cannot be used, or not for one of the clients.
        """
        found = await self._in_thread(self._seals.big_clients)
        return sum(await each(partial(self._seal_all, big) for big in found))

    async def _seal_all(self, big: Big) -> int:
        made = 0
        while big.partition in self._held() and await self._seal(big):
            made += 1
        return made

    async def _seal(self, big: Big) -> bool:
        rebuilt, mark = self._recorder.rebuilt, self._recorder.next.get(big.partition, 0)
        since = self._erased_of(big.client_id).before
        seal = await self._in_thread(lambda: self._seals.sum_up(*big, mark, since))
        if seal is None:
            return False
        async with self._recorder.writing:
            if self._recorder.rebuilt != rebuilt:  # summed up from a table that is gone
                return True
            if self._erased_of(big.client_id).before != since:  # and perhaps of what has been erased
                return True
            return await self._in_thread(lambda: self._seals.insert(seal))

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
