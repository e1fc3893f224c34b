"""The batched consumer: one Faust event per fetched partition batch (design 6, evidence/kafka.md 3).

Stock Faust spends 100-240 us on every message before our code runs; delivering what one fetch
brought for a partition as ONE event makes the rest a tight loop of ours. This file touches
private API of faust-streaming, which is pinned; `tests/adapters/test_batching.py` holds it.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, NamedTuple, cast

import aiokafka
from aiokafka import ConsumerRecord, TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage


class Batch(NamedTuple):
    """What one fetch brought for one partition: records in order, offsets ascending, with holes."""

    topic: str
    partition: int
    generation: int
    records: list[ConsumerRecord]

    @property
    def last_offset(self) -> int:
        """Offset of the last record."""
        return int(self.records[-1].offset)


class BatchConsumerThread(driver.AIOKafkaConsumerThread):
    """The consumer's own thread, with read_committed and prompt fetches."""

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        # Faust asks for read_uncommitted unless its own exactly_once is on; its fetch wait of
        # 1.5 s only delays the first answer after a seek, but also every shutdown.
        options = consumer._isolation_level, consumer._fetch_max_wait_ms
        assert options == ("read_uncommitted", 1500), "faust-streaming has changed"
        consumer._isolation_level = "read_committed"
        consumer._fetch_max_wait_ms = 500
        return consumer


class BatchConsumer(driver.Consumer):
    """Delivers batches of the source topics; commits from a queue of its own.

    Committed offsets are only a hint for lag monitors: after every rebalance each source
    partition is sought to where its *mark* says (`app.next_offset`), wherever that is known.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._done: dict[TP, int] = {}

    def _new_consumer_thread(self) -> BatchConsumerThread:
        return BatchConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Any]]:
        """One message per partition for source topics; changelogs have nothing to deliver."""
        records, active = await self._wait_next_records(timeout)
        generation = self.app.consumer_generation_id
        if records is None or self.should_stop:
            return
        if not self.flow_active:
            return  # a rebalance is under way; what was fetched is fetched again after its seek
        for tp, fetched in records.items():
            if not self.flow_active or self.app.consumer_generation_id != generation:
                return
            wanted = active is None or tp in active or tp in self._buffered_partitions
            if fetched and wanted and not self._is_changelog_tp(tp):
                yield tp, self._to_batch(tp, fetched, generation)

    def _to_batch(self, tp: TP, fetched: list[ConsumerRecord], generation: int) -> ConsumerMessage:
        last = fetched[-1]
        batch = Batch(tp.topic, tp.partition, generation, fetched)
        return ConsumerMessage(
            tp.topic, tp.partition, last.offset, last.timestamp / 1000.0, last.timestamp_type,
            None, None, cast(Any, batch), None, 0, 0, tp,
            generation_id=generation,
        )  # fmt: skip

    async def highwaters(self, *partitions: TP) -> dict[TP, int]:
        """Of changelogs: where our loader has read to.

        A transaction that follows the load at once (a webhook's result) would move Kafka's own
        answer past that, and stock recovery would wait for ever for records it is never given.
        """
        found: dict[TP, int] = dict(await super().highwaters(*partitions))
        ends = self.app.ownership.ends  # type: ignore[attr-defined]
        return {tp: ends.get(TopicPartition(*tp), end) for tp, end in found.items()}

    async def perform_seek(self) -> None:
        """Every source partition to its mark; where none is known, to the committed offset."""
        await super().perform_seek()
        next_offset: Callable[[TP], int | None] = self.app.next_offset  # type: ignore[attr-defined]
        known = {tp: next_offset(tp) for tp in self.assignment() if not self._is_changelog_tp(tp)}
        marked = {tp: offset for tp, offset in known.items() if offset is not None}
        if marked:
            await self.seek_wait(marked)

    def ack(self, message: Any) -> bool:
        """Note a whole batch as done; one of an older generation is nobody's business any more."""
        if message.acked:
            return False
        message.acked = True
        self._unacked_messages.discard(message)
        if message.generation_id == self.app.consumer_generation_id:
            self._done[message.tp] = max(self._done.get(message.tp, 0), message.offset + 1)
        return True

    async def force_commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Commit what is done of the partitions still assigned."""
        done, self._done = self._done, {}
        assigned = self.assignment()
        offsets: Mapping[TP, int] = {tp: o for tp, o in done.items() if tp in assigned}
        return await self._commit(offsets) if offsets else False

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """The queue belongs to the generation that ends here."""
        await super().on_partitions_revoked(revoked)
        self._done.clear()

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Holes between batches (control records) need no bookkeeping: the mark decides."""


class BatchTransport(driver.Transport):
    """Faust's aiokafka transport with the batched consumer."""

    Consumer = BatchConsumer
