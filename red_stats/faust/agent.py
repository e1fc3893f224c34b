"""How folds are connected to Faust streams: a queue for each partition, acknowledgement after the commit.

The batches of a partition are folded one after the other, those that wait together in one transaction;
one partition is folded while the transactions of others are under way.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, NoReturn

from red_common import failpoints
from red_stats.domain.record_batches import Ack, Fetching, Fold, PartitionBatch, Recording

log = logging.getLogger(__name__)

MAX_RECORDS: Final = 50_000  # folded in one transaction
PAUSE_RECORDS: Final = 60_000  # while so many wait, fetching pauses until half of them are folded

Agent = Callable[[Any], Awaitable[None]]
Fatal = Callable[[str], NoReturn]


def fold_agent(role: str, fold: Fold, fetching: Fetching, fatal: Fatal) -> Agent:
    """A Faust agent around a fold.

    Faust acknowledges an event even if its agent raised, which would lose it. So no exception leaves the
    body: what a fold can neither retry nor dead-letter ends the process (`fatal`), and the next owner
    folds it again from the mark.
    """

    async def folded(batch: PartitionBatch) -> bool:
        try:
            return await fold(batch)
        except Exception as error:
            log.exception("%s: a fold failed", role)
            fatal(f"{role}: {error!r}")

    async def agent(stream: Any) -> None:
        queues: dict[Any, PartitionQueue] = {}
        try:
            async for event in stream.noack().events():
                tp = event.message.tp
                queue = queues.get(tp)
                if queue is None:
                    queue = queues[tp] = PartitionQueue(role, tp, folded, fetching)
                queue.put(event.value.take(), partial(stream.ack, event))
        finally:
            for queue in queues.values():
                await queue.stop()

    return agent


def recording_agent(recording: Recording, fetching: Fetching, fatal: Fatal) -> Agent:
    """A Faust agent that hands batches to a recorder, which acknowledges each after its insert.

    A second delivery is handed over again: the recorder skips what the store's mark has passed.
    """

    async def agent(stream: Any) -> None:
        async for event in stream.noack().events():
            try:
                recording.put(event.message.tp, event.value.take(), partial(stream.ack, event), fetching)
            except Exception as error:
                log.exception("%s: a batch could not be buffered", recording.topic)
                fatal(f"record: {error!r}")

    return agent


class PartitionQueue:
    """The batches of one partition that wait to be folded."""

    def __init__(self, role: str, tp: Any, fold: Fold, fetching: Fetching) -> None:
        self._role, self._tp, self._fold, self._fetching = role, tp, fold, fetching
        self._waiting: deque[tuple[PartitionBatch, Ack]] = deque()
        self._records = 0
        self._task: asyncio.Task[None] | None = None

    def put(self, batch: PartitionBatch, ack: Ack) -> None:
        """Add a batch; fetching of the partition pauses while too many records wait."""
        self._waiting.append((batch, ack))
        self._records += batch.size
        if self._records >= PAUSE_RECORDS:
            self._fetching.pause(self._tp)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name=f"fold {self._tp}")

    async def stop(self) -> None:
        """Drop what waits and cancel the fold under way; both are folded again from the mark."""
        self._waiting.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while self._waiting:
            batch, acks = self._next()
            if await self._fold(batch):
                failpoints.hit(f"{self._role}.before-ack")
                for ack in acks:
                    await ack()
            self._records -= batch.size
            if self._records < PAUSE_RECORDS // 2:
                self._fetching.resume(self._tp)

    def _next(self) -> tuple[PartitionBatch, list[Ack]]:
        """The waiting batches of one generation as one batch (up to MAX_RECORDS), and their acks."""
        batch, ack = self._waiting.popleft()
        acks, size = [ack], batch.size
        while self._waiting and self._waiting[0][0].generation == batch.generation:
            size += self._waiting[0][0].size
            if size > MAX_RECORDS:
                break
            following, ack = self._waiting.popleft()
            batch = batch._replace(batches=[*batch.batches, *following.batches])
            acks.append(ack)
        return batch, acks
