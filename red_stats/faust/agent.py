"""How an agent of ours hangs on a Faust stream: a lane per partition, acknowledged after its commit.

Each partition's batches are folded one after the other, and what waits is folded together; the
partitions take turns while the transactions of others are under way.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, NoReturn, Protocol

from red_common import failpoints
from red_stats.domain.record_batches import Batch, Flow

log = logging.getLogger(__name__)

MAX_RECORDS: Final = 50_000  # folded in one transaction
HOLD_RECORDS: Final = 60_000  # waiting: no more is fetched until half of it is done


class Recording(Protocol):
    """What takes the batches of one topic and acknowledges each when it has been recorded."""

    topic: str

    def put(self, tp: Any, batch: Batch, ack: Callable[[], Awaitable[Any]]) -> None:
        """Take a batch; `ack` is awaited once it is recorded."""


Fold = Callable[[Batch], Awaitable[bool]]
Ack = Callable[[], Awaitable[Any]]


def bind(role: str, fold: Fold, flow: Flow, fatal: Callable[[str], NoReturn]) -> Callable[[Any], Any]:
    """A Faust agent around a fold.

    Faust acknowledges an event whose agent raised, and it is lost; so no exception leaves the
    body: what a fold cannot retry or dead-letter stops the process, and the mark replays it.
    """

    async def folded(batch: Batch) -> bool:
        try:
            return await fold(batch)
        except Exception as error:
            log.exception("%s: a fold failed", role)
            fatal(f"{role}: {error!r}")

    async def agent(stream: Any) -> None:
        lanes: dict[Any, Lane] = {}
        try:
            async for event in stream.noack().events():
                tp = event.message.tp
                lane = lanes.get(tp)
                if lane is None:
                    lane = lanes[tp] = Lane(role, tp, folded, flow)
                lane.put(event.value, partial(stream.ack, event))
        finally:
            for lane in lanes.values():
                await lane.stop()

    return agent


def bind_recorder(recorder: Recording, fatal: Callable[[str], NoReturn]) -> Callable[[Any], Any]:
    """A Faust agent that hands batches to a recorder, which acknowledges each after its insert."""

    async def agent(stream: Any) -> None:
        async for event in stream.noack().events():
            try:
                recorder.put(event.message.tp, event.value, partial(stream.ack, event))
            except Exception as error:
                log.exception("%s: a batch cannot be buffered", recorder.topic)
                fatal(f"record: {error!r}")

    return agent


class Lane:
    """The batches of one partition that wait for their fold."""

    def __init__(self, role: str, tp: Any, fold: Fold, flow: Flow) -> None:
        self._role, self._tp, self._fold, self._flow = role, tp, fold, flow
        self._waiting: deque[tuple[Batch, Ack]] = deque()
        self._records = 0
        self._task: asyncio.Task[None] | None = None

    def put(self, batch: Batch, ack: Ack) -> None:
        """A batch waits; too many hold their partition."""
        self._waiting.append((batch, ack))
        self._records += batch.size
        if self._records >= HOLD_RECORDS:
            self._flow.hold(self._tp)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name=f"fold {self._tp}")

    async def stop(self) -> None:
        """Nothing more is folded; what is under way is cancelled, and replayed from the mark."""
        self._waiting.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while self._waiting:
            batch, acks = self._taken()
            if await self._fold(batch):
                failpoints.hit(f"{self._role}.before-ack")
                for ack in acks:
                    await ack()
            self._records -= batch.size
            if self._records < HOLD_RECORDS // 2:
                self._flow.release(self._tp)

    def _taken(self) -> tuple[Batch, list[Ack]]:
        """Everything that waits, as one batch of one generation."""
        batch, ack = self._waiting.popleft()
        acks, size = [ack], batch.size
        while self._waiting and self._waiting[0][0].generation == batch.generation:
            size += self._waiting[0][0].size
            if size > MAX_RECORDS:
                break
            following, ack = self._waiting.popleft()
            batch = batch._replace(chunks=[*batch.chunks, *following.chunks])
            acks.append(ack)
        return batch, acks
