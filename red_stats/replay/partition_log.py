"""One partition of red.measurements read from its beginning and folded as it is read."""

import asyncio
from collections import Counter
from typing import Generic, TypeVar

from red_common.kafka.connection import KafkaConnection, TopicPartition
from red_common.kafka.end_offsets import until_known
from red_stats import topics
from red_stats.domain.measurements import BatchReader
from red_stats.replay.expected_state import ExpectedState
from red_stats.replay.verify_scope import Scope

MAX_RECORDS = 20_000
Fold = TypeVar("Fold", bound=ExpectedState)


class PartitionLog(Generic[Fold]):
    """`amounts` are the readable offsets in scope, each with its red_bp."""

    def __init__(self, number: int, partitions: int, folded: Fold) -> None:
        self.number = number
        self.folded = folded
        self.amounts: dict[int, int] = {}
        self.images: Counter[str] = Counter()
        self.beginning = self.end = 0
        self.last = -1  # the last data record before the noted end
        self._tp = TopicPartition(topics.MEASUREMENTS, number)
        self._reader = BatchReader(number, partitions)
        self._after = -1
        self.first_at: int | None = None  # Kafka time (ms) of the first record there is

    @property
    def read_to(self) -> int:
        """The last offset folded; -1 before the first."""
        return self._after

    async def open(self, connection: KafkaConnection) -> None:
        """Connect, and note the first offset and the end of the partition."""
        self._consumer = connection.consumer(
            isolation_level="read_committed",
            enable_auto_commit=False,
            max_partition_fetch_bytes=8 << 20,
            fetch_max_wait_ms=100,
        )
        await self._consumer.start()
        await until_known(self._consumer, [self._tp.topic])
        self._consumer.assign([self._tp])
        self.beginning = int((await self._consumer.beginning_offsets([self._tp]))[self._tp])
        self.end = int((await self._consumer.end_offsets([self._tp]))[self._tp])
        self._consumer.seek(self._tp, self.beginning)

    async def close(self) -> None:
        """Disconnect."""
        await self._consumer.stop()

    async def read(self, scope: Scope) -> None:
        """Fold everything before the noted end, and keep what is compared with the store."""
        await self._fold(self.end, scope)

    async def read_on(self, offset: int) -> None:
        """Continue the fold up to and including `offset`."""
        await self._fold(offset + 1, None)

    async def _fold(self, upto: int, scope: Scope | None) -> None:
        while await self._consumer.position(self._tp) < upto:
            fetched = await self._consumer.getmany(timeout_ms=200, max_records=MAX_RECORDS)
            records = [record for record in fetched.get(self._tp, ()) if record.offset < upto]
            if not records:
                continue
            if len(records) < len(fetched[self._tp]):
                self._consumer.seek(self._tp, upto)
            if self.first_at is None:
                self.first_at = records[0].timestamp
            good, _ = self._reader.read_all(records, self._after)
            self._after = records[-1].offset
            self.folded.add(good)
            if scope is not None:
                self.last = self._after
                erased_of = self.folded.erased_of
                kept = [
                    reading
                    for reading in good
                    if scope.holds(reading.client_id, reading.at)
                    and reading.offset >= erased_of(reading.client_id).before
                ]
                self.amounts.update((reading.offset, reading.red_bp) for reading in kept)
                self.images.update(reading.image_id for reading in kept)
            await asyncio.sleep(0)
