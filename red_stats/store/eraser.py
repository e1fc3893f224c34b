"""Deletes from the store what has been erased of clients, in the background of role record.

Views have left it out since the erasure was read, and the recorder records nothing more of it, so this may
take its time, and may be repeated. Marker rows stay: the chain of batches goes on.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Final, TypeVar

from red_common import failpoints
from red_stats.domain.erasure import Erased
from red_stats.store.background import each, in_background
from red_stats.store.clickhouse import Store
from red_stats.store.queries import Deletion, Question, erased_rows, is_erased
from red_stats.store.recorder import Recorder

INTERVAL: Final = 0.25  # seconds between looking for whom to erase
PAUSE: Final = 5.0  # seconds after the store failed
Result = TypeVar("Result")

#: By partition held here: the generation of its assignment, and the erased clients.
ErasedHere = Callable[[], Mapping[int, tuple[int, Mapping[str, Erased]]]]


class Eraser:
    """Deletes the rows of erased clients of the partitions that are held here, from each recorded table."""

    def __init__(self, store: Store, recorders: Iterable[Recorder], erased: ErasedHere) -> None:
        self._store, self._recorders, self._erased = store, list(recorders), erased
        self._done: dict[tuple[str, str], tuple[Erased, int, int]] = {}
        self._thread = ThreadPoolExecutor(1, "store-erase")

    def running(self) -> AbstractAsyncContextManager[None]:
        """Deletes meanwhile."""
        failed = "what was erased is still in the store, trying again"  # views leave it out meanwhile
        return in_background(self.round, self._thread, interval=INTERVAL, pause=PAUSE, failed=failed)

    async def round(self) -> None:
        """Begin to delete what is there, and look again at what was there.

        Raises:
            StoreError: the store cannot be used, or not for one of the clients.
        """
        await each(
            partial(self._erase, recorder, generation, dict(clients))
            for generation, clients in self._erased().values()
            for recorder in self._recorders
        )

    async def _erase(self, recorder: Recorder, generation: int, clients: Mapping[str, Erased]) -> None:
        def state(erased: Erased) -> tuple[Erased, int, int]:
            return erased, generation, recorder.rebuilt

        table = recorder.table
        todo = {name: one for name, one in clients.items() if self._done.get((table, name)) != state(one)}
        if not todo:
            return
        async with recorder.writing:  # what was made before the erasures were read has been inserted
            states = {(table, name): state(one) for name, one in todo.items()}
        left = await self._in_thread(lambda: self._left(table, todo))
        for one in left:
            states.pop((table, one.client_id), None)
        self._done |= states
        await each(partial(self._in_thread, partial(self._begin, one)) for one in left)

    def _left(self, table: str, clients: Mapping[str, Erased]) -> list[Deletion]:
        """What there is to delete, in one question for all clients."""
        rows = [
            Deletion(table, name, is_erased(table, clients[name])) for name in self._found(table, clients)
        ]
        seals = self._found("daily", clients) if table == "measurements" else ()
        return rows + [Deletion("daily", name) for name in seals]

    def _found(self, table: str, clients: Mapping[str, Erased]) -> list[str]:
        questions = erased_rows(table, clients)
        return [str(name) for question in questions for name, _ in self._store.query(*question)]

    def _begin(self, deletion: Deletion) -> None:
        """Have the engine delete rows, unless it does so already."""
        if self._ask(deletion.under_way()):
            return
        self._store.check_room(self._ask(deletion.room()))
        failpoints.hit("record.before-erase")
        self._store.command(deletion.begin())
        failpoints.hit("record.after-erase")

    def _ask(self, question: Question) -> int:
        [[found]] = self._store.query(*question)
        return int(found)

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
