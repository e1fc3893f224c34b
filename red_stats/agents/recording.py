"""Batches -> ClickHouse rows, exactly once: buffered per partition, inserted by one writer thread.

At once when nothing was inserted lately, else about once a second or 20,000 rows: each insert is
one part, and parts are what the engine has to merge. A batch is acknowledged after its insert
stands; where to go on after a restart is what the store's own mark says, so a second delivery
of any record changes nothing.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor
from functools import partial
from typing import Any, Final, NamedTuple, NoReturn

from aiokafka import AIOKafkaConsumer, TopicPartition

from red_stats import crash, metrics, topics
from red_stats.adapters.batching import Batch
from red_stats.adapters.clickhouse import StoreError, StoreUnusable
from red_stats.adapters.sink import Rival, Rows, Sink
from red_stats.adapters.transactions import Out
from red_stats.domain.dead_letters import dead_letter
from red_stats.domain.recording import Recorded, cut
from red_stats.tables.ownership import Effects, Mark, Owned, Ownership

log = logging.getLogger(__name__)

INTERVAL: Final = 1.0
MAX_ROWS: Final = 20_000
MAX_BUFFERED: Final = 100_000
DEAD_LETTERED: Final = (topics.MEASUREMENTS, topics.DELIVERIES)  # deliver tells of red.alerts'

Ack = Callable[[], Awaitable[None]]


class _Waiting(NamedTuple):
    batch: Batch
    ack: Ack


class Recorder:
    """The buffers of one topic's partitions and the task that empties them."""

    def __init__(
        self,
        topic: str,
        recorded: Recorded,
        sink: Sink,
        *,
        ownership: Ownership,
        partitions: int,
        bootstrap: str,
        writer: Executor,
        interval: float = INTERVAL,
    ) -> None:
        self.topic = topic
        self.next: dict[int, int] = {}  # expected next offset by partition, as the store says
        self._recorded = recorded
        self._sink = sink
        self._ownership = ownership
        self._partitions = partitions
        self._bootstrap = bootstrap
        self._writer = writer
        self._interval = interval
        self._waiting: dict[int, list[_Waiting]] = {}
        self._rows = 0
        self._inserted_at: dict[int, float] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._room = asyncio.Condition()
        self._moved = asyncio.Condition()

    async def take_over(self, owned: Owned) -> None:
        """Ask the store where to go on, and fill the holes its ledger shows."""
        number = owned.number
        self.next[number] = await self._patiently(lambda: self._sink.next_offset(number)) or 0
        for start, end in await self._patiently(lambda: self._sink.gaps(number)):
            log.error("%s/%d: offsets %d to %d are missing in the store", self.topic, number, start, end)
            await self._refill(number, start, end)
        await self._notify()

    def lose(self, owned: Owned) -> None:
        """What waits for a lost partition is the next owner's."""
        for waiting in self._waiting.pop(owned.number, ()):
            self._rows -= len(waiting.batch.records)
        task = self._tasks.pop(owned.number, None)
        if task is not None:
            task.cancel()

    async def put(self, batch: Batch, ack: Ack) -> None:
        """Buffer a batch; waits while too much is buffered."""
        async with self._room:
            await self._room.wait_for(lambda: self._rows < MAX_BUFFERED)
        self._rows += len(batch.records)
        self._waiting.setdefault(batch.partition, []).append(_Waiting(batch, ack))
        task = self._tasks.get(batch.partition)
        if task is None or task.done():
            made = asyncio.create_task(self._empty(batch.partition), name=f"record {self.topic}")
            self._tasks[batch.partition] = made

    async def reached(self, partition: int, offset: int) -> None:
        """Returns once the store has recorded that offset of a partition owned here."""
        async with self._moved:
            await self._moved.wait_for(lambda: self.next.get(partition, 0) > offset)

    def next_of(self, owned: Owned | None) -> int | None:
        """Where a partition goes on: at the store's mark; None when it is not owned."""
        return None if owned is None else self.next.get(owned.number, 0)

    async def stop(self) -> None:
        """Insert what is buffered, for a short time; the rest is read again."""
        self._interval = 0
        tasks = [task for task in self._tasks.values() if not task.done()]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=2)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _empty(self, partition: int) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting.get(partition):
            since = loop.time() - self._inserted_at.get(partition, -1e9)
            many = sum(len(w.batch.records) for w in self._waiting[partition]) >= MAX_ROWS
            if since < self._interval and not many:
                await asyncio.sleep(min(self._interval - since, 0.1))
                continue
            taken = self._take(partition)
            try:
                if await self._record(partition, taken):
                    for waiting in taken:
                        crash.at("record.before-ack")
                        await waiting.ack()
            except Exception:
                # an offset not recorded is not acknowledged; die and be replayed rather than skip
                log.exception("%s/%d cannot be recorded", self.topic, partition)
                self._ownership.fatal(f"record: {self.topic}/{partition} cannot be recorded")
            finally:
                self._rows -= sum(len(w.batch.records) for w in taken)
            self._inserted_at[partition] = loop.time()
            async with self._room:
                self._room.notify_all()
            await self._notify()

    async def _notify(self) -> None:
        async with self._moved:
            self._moved.notify_all()

    def _take(self, partition: int) -> list[_Waiting]:
        waiting, taken, rows = self._waiting[partition], [], 0
        while waiting and (rows == 0 or rows + len(waiting[0].batch.records) <= MAX_ROWS):
            rows += len(waiting[0].batch.records)
            taken.append(waiting.pop(0))
        return taken

    async def _record(self, partition: int, taken: list[_Waiting]) -> bool:
        owned = self._ownership.owned.get(partition)
        records = [
            record
            for waiting in taken
            if owned is not None and waiting.batch.generation == owned.generation
            for record in waiting.batch.records
        ]
        if not records:
            return False
        last = max(record.offset for record in records)
        while True:
            fresh = [record for record in records if record.offset >= self.next[partition]]
            if not fresh:
                return True
            rows, unreadable = self._cut(partition, fresh, self.next[partition], last)
            if unreadable and not await self._tell(partition, unreadable):
                return False
            try:
                await self._patiently(lambda rows=rows: self._sink.write(rows))  # type: ignore[misc]
            except Rival as rival:
                log.warning("%s/%d: another writer has recorded to %d", self.topic, partition, rival.next)
                self.next[partition] = rival.next
                continue
            self.next[partition] = last + 1
            return True

    def _cut(
        self, partition: int, records: list[Any], first: int, last: int
    ) -> tuple[Rows, list[tuple[Any, str]]]:
        read = self._recorded.reader(partition, self._partitions)
        found = cut(read, records)
        columns = [list(column) for column in zip(*found.rows, strict=True)]
        rows = Rows(
            topic=self.topic,
            partition=partition,
            first=first or records[0].offset,
            last=last,
            at=records[0].timestamp,
            columns=self._recorded.columns,
            data=columns or [[] for _ in self._recorded.columns],
            offsets=found.offsets,
        )
        return rows, found.unreadable

    async def _tell(self, partition: int, unreadable: list[tuple[Any, str]]) -> bool:
        """Dead letters with a mark, committed before the insert, so that each is written once."""

        async def build(owned: Owned) -> Effects | None:
            mark = owned.mark(self.topic).offset
            fresh = [(record, reason) for record, reason in unreadable if record.offset > mark]
            if not fresh:
                return None
            letters = [
                Out(topics.DEAD_LETTERS, record.key, dead_letter(self.topic, partition, record, reason))
                for record, reason in fresh
                if self.topic in DEAD_LETTERED
            ]
            last = Mark(fresh[-1][0].offset, fresh[-1][0].timestamp)
            count = metrics.DEAD_LETTERS.labels(self.topic)
            return Effects(letters, {self.topic: last}, lambda: count.inc(len(letters)))

        return await self._ownership.transact(partition, build)

    async def _refill(self, partition: int, start: int, end: int) -> None:
        records = await read_range(self._bootstrap, TopicPartition(self.topic, partition), start, end)
        if not records:
            log.error("%s/%d: Kafka has these offsets no more", self.topic, partition)
            return
        rows, _ = self._cut(partition, records, start, end - 1)
        await self._patiently(lambda: self._sink.write(rows, refill=True))

    async def _patiently(self, work: Callable[[], Any]) -> Any:
        """Run in the writer thread; a store that cannot be reached is waited for."""
        loop, pause = asyncio.get_running_loop(), 0.5
        while True:
            try:
                return await loop.run_in_executor(self._writer, work)
            except (StoreError, StoreUnusable) as error:
                metrics.INSERT_RETRIES.inc()
                log.warning("%s: the store cannot be used now, trying again: %s", self.topic, error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, 5.0)


def bind_recorder(recorder: Recorder, fatal: Callable[[str], NoReturn]) -> Callable[[Any], Any]:
    """A Faust agent that hands batches to a recorder, which acknowledges each after its insert."""

    async def agent(stream: Any) -> None:
        async for event in stream.noack().events():
            try:
                await recorder.put(event.value, partial(stream.ack, event))
            except Exception as error:
                log.exception("%s: a batch cannot be buffered", recorder.topic)
                fatal(f"record: {error!r}")

    return agent


async def read_range(bootstrap: str, tp: TopicPartition, start: int, end: int | None) -> list[Any]:
    """The committed records of `[start, end)` that Kafka still has; to its end now when None.

    Raises:
        KafkaError: Kafka cannot be reached.
    """
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        isolation_level="read_committed",
        enable_auto_commit=False,
        fetch_max_wait_ms=100,
    )
    await consumer.start()
    try:
        consumer.assign([tp])
        if end is None:
            end = int((await consumer.end_offsets([tp]))[tp])
        beginnings: Mapping[TopicPartition, int] = await consumer.beginning_offsets([tp])
        consumer.seek(tp, max(start, beginnings[tp]))
        found: list[Any] = []
        while await consumer.position(tp) < end:
            for records in (await consumer.getmany(timeout_ms=200)).values():
                found += [record for record in records if record.offset < end]
        return found
    finally:
        await consumer.stop()
