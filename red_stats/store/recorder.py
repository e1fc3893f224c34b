"""Batches -> ClickHouse rows, exactly once: buffered per partition, inserted by one writer thread.

A batch is acknowledged after its insert stands; where to go on after a restart is what the store's
own mark says, so a second delivery of any record changes nothing.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Executor
from functools import cache, partial
from typing import Any, Final

from red_common.kafka.connection import KafkaConnection, TopicPartition
from red_stats import metrics, topics
from red_stats.domain.column_batch import ColumnBatch
from red_stats.domain.dead_letters import dead_letter
from red_stats.domain.record_batches import Ack, Fetching, Out, PartitionBatch, RecordBatch, records_of
from red_stats.domain.recorded_tables import Recorded
from red_stats.kafka.range_reader import read_range
from red_stats.store.clickhouse import StoreError, StoreUnusable
from red_stats.store.insert_buffer import INTERVAL, InsertBuffer
from red_stats.store.sink import ConcurrentWriter, Rows, Sink
from red_stats.tables.partition_state import Effects, Mark, PartitionState, PartitionStates
from red_stats.tables.record import RecordTables
from red_stats.topics import Topic

log = logging.getLogger(__name__)

STOP_SECONDS: Final = 2.0
SLICE: Final = 2000  # records cut before others have their turn: about 1 ms


#: (partition, batches, first offset) -> their rows, or None if they have to be read one by one.
Scan = Callable[[int, Sequence[RecordBatch], int], ColumnBatch | None]


class Recorder:
    """Records one topic: a buffer for each of its partitions."""

    def __init__(
        self,
        topic: Topic,
        recorded: Recorded,
        sink: Sink,
        *,
        states: PartitionStates[RecordTables],
        partitions: int,
        connection: KafkaConnection,
        writer: Executor,
        interval: float = INTERVAL,
        scan: Scan | None = None,
    ) -> None:
        self.topic = topic
        self.next: dict[int, int] = {}  # expected next offset by partition, as the store says
        self.table = recorded.table
        self.sink = sink
        self._recorded = recorded
        self._states = states
        self._reader = cache(partial(recorded.reader, partitions=partitions))
        self._scan = scan
        self._connection = connection
        self._writer = writer
        self._interval = interval
        self._buffers: dict[int, InsertBuffer] = {}
        self._moved = asyncio.Condition()
        self._cutting = (
            asyncio.Lock()
        )  # one partition after another, so that the first is soon with the writer
        self._writing = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """Nothing is inserted meanwhile; what comes waits."""
        async with self._writing:
            yield

    async def take_over(self, state: PartitionState[RecordTables]) -> None:
        """Ask the store where to go on, and fill the holes its ledger shows."""
        number = state.partition
        self.next[number] = await self._patiently(lambda: self.sink.next_offset(number)) or 0
        for start, end in await self._patiently(lambda: self.sink.gaps(number)):
            log.error("%s/%d: offsets %d to %d are missing in the store", self.topic, number, start, end)
            await self._refill(number, start, end)
        await self._notify()

    def drop(self, state: PartitionState[RecordTables]) -> None:
        """What waits for a lost partition is the next owner's."""
        buffer = self._buffers.pop(state.partition, None)
        if buffer is not None:
            buffer.drop()

    def put(self, tp: Any, batch: PartitionBatch, ack: Ack, fetching: Fetching) -> None:
        """Buffers a batch until it is inserted."""
        self._buffer_of(tp, batch.partition, fetching).put(batch, ack)

    async def reached(self, partition: int, offset: int) -> None:
        """Returns once the store has recorded that offset of a partition owned here; asks for its insert."""
        if (buffer := self._buffers.get(partition)) is not None:
            buffer.request_flush(offset)
        async with self._moved:
            await self._moved.wait_for(lambda: self.next.get(partition, 0) > offset)

    def resume_offset(self, state: PartitionState[RecordTables] | None) -> int:
        """Where a partition goes on: at the store's mark; at the beginning when it is not held."""
        return 0 if state is None else self.next.get(state.partition, 0)

    async def stop(self) -> None:
        """Insert what is buffered, for a short time; the rest is read again."""
        await asyncio.gather(*(buffer.finish(STOP_SECONDS) for buffer in self._buffers.values()))

    def _buffer_of(self, tp: Any, partition: int, fetching: Fetching) -> InsertBuffer:
        buffer = self._buffers.get(partition)
        if buffer is None:
            buffer = self._buffers[partition] = InsertBuffer(
                partial(self._write, partition),
                pause=partial(fetching.pause, tp),
                resume=partial(fetching.resume, tp),
                interval=self._interval,
            )
        return buffer

    async def _write(self, partition: int, batches: Sequence[PartitionBatch]) -> bool:
        try:
            return await self._record(partition, batches)
        except Exception:
            # an offset not recorded is not acknowledged; die and be replayed rather than skip
            log.exception("%s/%d cannot be recorded", self.topic, partition)
            self._states.fatal(f"record: {self.topic}/{partition} cannot be recorded")
        finally:
            await self._notify()

    async def _notify(self) -> None:
        async with self._moved:
            self._moved.notify_all()

    async def _record(self, partition: int, batches: Sequence[PartitionBatch]) -> bool:
        """Make columns while others are inserted, then insert; again if something was recorded meanwhile."""
        state = self._states.held.get(partition)
        if state is None or not (batches := [b for b in batches if b.generation == state.generation]):
            return False
        while True:
            first = self.next[partition]
            rows, unreadable = await self._cut_in_turns(partition, batches, first)
            if rows is None:
                return any(batch.records for batch in batches)
            async with self._writing:
                if self._states.held.get(partition) is not state:
                    return False
                if self.next[partition] != first:
                    continue
                if unreadable and not await self._dead_letter(partition, unreadable):
                    return False
                try:
                    await self._patiently(lambda rows=rows: self.sink.write(rows))  # type: ignore[misc]
                except ConcurrentWriter as rival:
                    log.warning("%s/%d: another writer has recorded to %d", self.topic, partition, rival.next)
                    self.next[partition] = rival.next
                    continue
                self.next[partition] = rows.last + 1
                return True

    async def _cut_in_turns(
        self, partition: int, batches: Sequence[PartitionBatch], first: int
    ) -> tuple[Rows | None, list[tuple[Any, str]]]:
        """What is not recorded yet, as rows; the loop goes on with others between slices of it."""
        cuts: list[ColumnBatch] = []
        async with self._cutting:
            for piece in (piece for batch in batches for piece in batch.slices(SLICE)):
                cut = self._cut(partition, piece, first)
                if cut is not None:
                    cuts.append(cut)
                await asyncio.sleep(0)
        if not cuts:
            return None, []
        unreadable = [one for cut in cuts for one in cut.unreadable]
        return self._rows(partition, cuts, first, cuts[-1].last), unreadable

    def _cut(self, partition: int, batches: Sequence[RecordBatch], first: int) -> ColumnBatch | None:
        found = None if self._scan is None else self._scan(partition, batches, first)
        if found is not None:
            return found
        records = records_of(batches, first)
        return self._reader(partition)(records) if records else None

    def cut(self, partition: int, records: list[Any], first: int, last: int) -> Rows:
        """The readable ones of a batch as rows."""
        return self._rows(partition, [self._reader(partition)(records)], first, last)

    def _rows(self, partition: int, cuts: Sequence[ColumnBatch], first: int, last: int) -> Rows:
        return Rows(
            topic=self.topic,
            partition=partition,
            first=first or cuts[0].first,
            last=last,
            at=cuts[0].at,
            columns=self._recorded.columns,
            cuts=cuts,
        )

    async def _dead_letter(self, partition: int, unreadable: list[tuple[Any, str]]) -> bool:
        """Dead letters with a mark, committed before the insert, so that each is written once."""

        async def build(state: PartitionState[RecordTables]) -> Effects | None:
            mark = state.mark(self.topic).offset
            fresh = [(record, reason) for record, reason in unreadable if record.offset > mark]
            if not fresh:
                return None
            letters: list[Out] = [
                (topics.DEAD_LETTERS, record.key, dead_letter(self.topic, partition, record, reason))
                for record, reason in fresh
                if self.topic.dead_letters_by == self._states.role
            ]
            last = Mark(fresh[-1][0].offset, fresh[-1][0].timestamp)
            count = metrics.DEAD_LETTERS.labels(self.topic)
            return Effects(letters, {self.topic: last}, lambda: count.inc(len(letters)))

        return await self._states.transact(partition, build)

    async def _refill(self, partition: int, start: int, end: int) -> None:
        records = await read_range(self._connection, TopicPartition(self.topic, partition), start, end)
        if not records:
            log.error("%s/%d: Kafka has these offsets no more", self.topic, partition)
            return
        rows = self.cut(partition, records, start, end - 1)
        await self._patiently(lambda: self.sink.write(rows, refill=True))

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
