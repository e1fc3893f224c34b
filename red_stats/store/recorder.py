"""Batches -> ClickHouse rows, exactly once: buffered per partition, inserted by one writer thread.

A batch is acknowledged once its rows are recorded. The store's own mark says where to go on after a
restart, so a second delivery of a record changes nothing.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import Executor
from functools import cache, partial
from typing import Any, Final

from red_common.kafka.connection import KafkaConnection, TopicPartition
from red_stats import metrics
from red_stats.domain.column_batch import ColumnBatch
from red_stats.domain.dead_letters import dead_letter
from red_stats.domain.erasure import ErasedClients, Nobody
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
SLICE: Final = 2000  # records scanned before the loop may go on with others: about 1 ms
ROWS: Final = 2000  # the same of records that are read one by one: about 40 ms, or catching up takes too long


#: (partition, batches, first offset) -> their columns, or None if they must be read record by record.
Scan = Callable[[int, Sequence[RecordBatch], int], ColumnBatch | None]


class Recorder:
    """Records one topic, with a buffer for each of its partitions.

    Args:
        topic: the source topic.
        recorded: the table, its columns, and a reader.
        sink: writes the table, from the writer's thread.
        states: the partitions that role record holds.
        partitions: the number of partitions of the topic.
        connection: how Kafka is reached.
        writer: the one thread that writes to the store.
        interval: seconds between the inserts of a partition that nobody waits for.
        scan: reads columns quickly, where it can.
        erased: who was erased; what they were erased of is not recorded.
    """

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
        erased: ErasedClients | None = None,
    ) -> None:
        self.topic = topic
        self.next: dict[int, int] = {}  # the expected next offset by partition, by the store's mark
        self.is_paused = False
        self.failures: dict[int, str] = {}  # why an insert is still under way, by partition
        self.table = recorded.table
        self.sink = sink
        self._recorded = recorded
        self._states = states
        self._reader = cache(partial(recorded.reader, partitions=partitions))
        self._scan = scan
        self._erased = erased or Nobody()
        self._connection = connection
        self._writer = writer
        self._interval = interval
        self._buffers: dict[int, InsertBuffer] = {}
        self._moved = asyncio.Condition()
        # one partition after another, so that the writer gets the first one soon
        self._reading = asyncio.Lock()
        self.writing = asyncio.Lock()  # held while the table or what is made of it is written
        self.rebuilt = 0  # how often the table was replaced

    @contextlib.asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """Insert nothing meanwhile; batches that arrive wait."""
        async with self.writing:
            self.is_paused = True
            try:
                yield
            finally:
                self.is_paused = False
                self.rebuilt += 1

    async def take_over(self, state: PartitionState[RecordTables]) -> None:
        """Read the store's mark of an assigned partition, and fill the holes between its marker rows."""
        number = state.partition
        self.next[number] = await self._in_writer(lambda: self.sink.next_offset(number)) or 0
        for start, end in await self._in_writer(lambda: self.sink.gaps(number)):
            log.error("%s/%d: offsets %d to %d are missing in the store", self.topic, number, start, end)
            await self._refill(number, start, end)
        await self._notify()

    def drop(self, state: PartitionState[RecordTables]) -> None:
        """Drop what waits in a revoked partition; the next owner reads it again."""
        buffer = self._buffers.pop(state.partition, None)
        if buffer is not None:
            buffer.drop()

    def settled(self, partition: int) -> int | None:
        """The last offset recorded of a partition (-1: none); None while that may be changing.

        If it is the same before and after a question, the answer holds exactly what is recorded up to there.
        """
        if partition in self.failures or partition not in self.next:
            return None
        return self.next[partition] - 1

    def put(self, tp: Any, batch: PartitionBatch, ack: Ack, fetching: Fetching) -> None:
        """Buffer a batch until it is inserted; `ack` is awaited afterwards."""
        self._buffer_of(tp, batch.partition, fetching).put(batch, ack)

    async def reached(self, partition: int, offset: int) -> None:
        """Return once an offset of a partition held here is recorded; its insert is requested."""
        if (buffer := self._buffers.get(partition)) is not None:
            buffer.request_flush(offset)
        async with self._moved:
            await self._moved.wait_for(lambda: self.next.get(partition, 0) > offset)

    def resume_offset(self, state: PartitionState[RecordTables] | None) -> int:
        """The offset at which a partition goes on: after the store's mark, or 0 if it is not held."""
        return 0 if state is None else self.next.get(state.partition, 0)

    async def stop(self) -> None:
        """Insert what is buffered, for at most STOP_SECONDS; the rest is read again."""
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
            # never skip what was not recorded: end the process, and read it again
            log.exception("%s/%d cannot be recorded", self.topic, partition)
            self._states.fatal(f"record: {self.topic}/{partition} cannot be recorded")
        finally:
            await self._notify()

    async def _notify(self) -> None:
        async with self._moved:
            self._moved.notify_all()

    async def _record(self, partition: int, batches: Sequence[PartitionBatch]) -> bool:
        """Make columns while others are inserted, then insert; once more if the mark has moved meanwhile."""
        state = self._states.held.get(partition)
        if state is None or not (batches := [b for b in batches if b.generation == state.generation]):
            return False
        while True:
            first, erasures = self.next[partition], self._erased.erasures
            rows, unreadable = await self._unrecorded(partition, batches, first)
            if rows is None:
                return any(batch.records for batch in batches)
            async with self.writing:
                if self._states.held.get(partition) is not state:
                    return False
                if (self.next[partition], self._erased.erasures) != (first, erasures):
                    continue
                if unreadable and not await self._dead_letter(partition, unreadable):
                    return False
                self.failures[partition] = f"{self.table}: an insert into the store has not succeeded yet"
                try:
                    await self._in_writer(lambda rows=rows: self.sink.write(rows))  # type: ignore[misc]
                except ConcurrentWriter as rival:
                    log.warning("%s/%d: another writer has recorded to %d", self.topic, partition, rival.next)
                    self.next[partition] = rival.next
                    continue
                finally:
                    del self.failures[partition]
                self.next[partition] = rows.last + 1
                return True

    async def _unrecorded(
        self, partition: int, batches: Sequence[PartitionBatch], first: int
    ) -> tuple[Rows | None, list[tuple[Any, str]]]:
        """What is not recorded yet, as rows; between slices of it the loop goes on with others."""
        parts: list[ColumnBatch] = []
        async with self._reading:
            for piece in (piece for batch in batches for piece in batch.slices(SLICE)):
                for part in self._to_columns(partition, piece, first):
                    parts.append(part)
                    await asyncio.sleep(0)
        if not parts:
            return None, []
        unreadable = [record for part in parts for record in part.unreadable]
        return self._rows(partition, parts, first, parts[-1].last), unreadable

    def _to_columns(
        self, partition: int, batches: Sequence[RecordBatch], first: int
    ) -> Iterator[ColumnBatch]:
        is_behind = max(first, batches[0].start) >= self._erased.erased_below(partition)
        found = self._scan(partition, batches, first) if self._scan is not None and is_behind else None
        if found is not None:
            yield found
            return
        records = records_of(batches, first)
        for start in range(0, len(records), ROWS):
            yield self._read(partition, records[start : start + ROWS])

    def _read(self, partition: int, records: Sequence[Any]) -> ColumnBatch:
        found = self._reader(partition)(records)
        if not self._erased.erased_below(partition):
            return found
        return self._recorded.without_erased(found, self._erased.erased_of)

    def to_rows(self, partition: int, records: list[Any], first: int, last: int) -> Rows:
        """The readable records of `[first, last]` that are not erased as rows."""
        return self._rows(partition, [self._read(partition, records)], first, last)

    def _rows(self, partition: int, parts: Sequence[ColumnBatch], first: int, last: int) -> Rows:
        return Rows(
            topic=self.topic,
            partition=partition,
            first=first or parts[0].first,
            last=last,
            at=parts[0].at,
            columns=self._recorded.columns,
            parts=parts,
        )

    async def _dead_letter(self, partition: int, unreadable: list[tuple[Any, str]]) -> bool:
        """Commit dead letters with a mark before the insert, so that each is written once."""

        async def build(state: PartitionState[RecordTables]) -> Effects | None:
            mark = state.mark(self.topic).offset
            new = [(record, reason) for record, reason in unreadable if record.offset > mark]
            if not new:
                return None
            letters: list[Out] = [
                dead_letter(self.topic, partition, record, reason)
                for record, reason in new
                if self.topic.dead_letters_by == self._states.role
            ]
            last = Mark(new[-1][0].offset, new[-1][0].timestamp)
            count = metrics.DEAD_LETTERS.labels(self.topic)
            return Effects(letters, {self.topic: last}, lambda: count.inc(len(letters)))

        return await self._states.transact(partition, build)

    async def _refill(self, partition: int, start: int, end: int) -> None:
        records = await read_range(self._connection, TopicPartition(self.topic, partition), start, end)
        if not records:
            log.error("%s/%d: Kafka no longer has these offsets", self.topic, partition)
            return
        rows = self.to_rows(partition, records, start, end - 1)
        await self._in_writer(lambda: self.sink.write(rows, refill=True))

    async def _in_writer(self, work: Callable[[], Any]) -> Any:
        """Run work in the writer thread, retrying while the store cannot be used."""
        loop, pause = asyncio.get_running_loop(), 0.5
        while True:
            try:
                return await loop.run_in_executor(self._writer, work)
            except (StoreError, StoreUnusable) as error:
                metrics.INSERT_RETRIES.inc()
                log.warning("%s: the store cannot be used, retrying: %s", self.topic, error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, 5.0)
