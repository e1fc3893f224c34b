"""The batched consumer: one Faust event per fetched partition batch.

docs/architecture.md, "Beneath Faust", says what else of Faust is replaced.

Stock Faust spends 100-240 us on every message before our code runs; delivering what one fetch
brought for a partition as ONE event makes the rest a tight loop of ours. This file touches
private API of faust-streaming and aiokafka, which are pinned; `tests/red_stats/faust/test_batch_consumer.py`
holds it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from red_common.kafka.connection import Consumer, TopicPartition
from red_stats.domain.record_batches import PartitionBatch, RecordBatch
from red_stats.kafka.packed_batches import PackedFetches

if TYPE_CHECKING:
    from red_stats.faust.app import Role

PAUSED_SECONDS = 0.02  # how soon a fetch looks again when every partition is paused


class BatchConsumerThread(driver.AIOKafkaConsumerThread):
    """The consumer's own thread, with read_committed and prompt fetches.

    `sought` is the generation for which the source partitions were last sought. What was taken out
    of the fetcher before that may reach the main thread behind it, where it would stand after a hole.
    """

    sought = -1

    async def seek_sources(self, offsets: Mapping[TP, int], generation: int) -> None:
        """Every source partition to where that generation goes on."""
        await self.call_thread(self._seek_sources, offsets, generation)

    async def _seek_sources(self, offsets: Mapping[TP, int], generation: int) -> None:
        self.sought = generation  # nothing is awaited between here and the seeks
        await self._seek_wait(self._ensure_consumer(), offsets)

    async def on_thread_stop(self) -> None:
        """Leave the group, a named (static) member too: an orderly stop gives its partitions away at once.

        aiokafka lets a static member leave only by its time-out, which is for those that were killed.
        """
        if self._consumer is not None and self._consumer._coordinator is not None:
            self._consumer._coordinator._group_instance_id = None
        await super().on_thread_stop()

    def _create_worker_consumer(self, transport: Any) -> Consumer:
        consumer = super()._create_worker_consumer(transport)
        # Faust asks for read_uncommitted unless its own exactly_once is on; its fetch wait of
        # 1.5 s only delays the first answer after a seek, but also every shutdown.
        options = consumer._isolation_level, consumer._fetch_max_wait_ms, consumer._fetch_min_bytes
        assert options == ("read_uncommitted", 1500, 1), "faust-streaming has changed"
        consumer._isolation_level = "read_committed"
        consumer._fetch_max_wait_ms, consumer._fetch_min_bytes = _role(self.app).fetch
        return consumer

    async def _fetch_records(self, consumer: Consumer, *args: Any, **options: Any) -> Any:
        """As the driver has it, with records left as they were fetched, and how many come behind them."""
        fetcher = consumer._fetcher
        if not isinstance(fetcher._records, PackedFetches):
            fetcher._records = PackedFetches(fetcher._records, lambda: self.sought)
        found = await super()._fetch_records(consumer, *args, **options)
        for tp, batches in found.items():
            if batches and consumer._subscription.is_assigned(tp):
                end = consumer.last_stable_offset(tp) or 0
                batches[-1].followed_by(max(0, end - batches[-1].offset - 1))
        return found


class BatchConsumer(driver.Consumer):
    """Delivers batches of the source topics; commits from a queue of its own.

    Committed offsets are only a hint for lag monitors: after every rebalance each source
    partition is sought to where its *mark* says (`StatsApp.resume_offset`), and only what was taken
    behind that seek is delivered.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._done: dict[TP, int] = {}
        self._paused: set[TP] = set()

    def _new_consumer_thread(self) -> BatchConsumerThread:
        return BatchConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Any]]:
        """One message per partition for source topics; changelogs have nothing to deliver."""
        records = await self._fetched(timeout)
        for tp, fetched in records.items():
            if self.should_stop or not fetched or self._is_changelog_tp(tp):
                continue
            # what was taken before the seek of this generation is fetched again after it
            if fetched[0].generation == self.app.consumer_generation_id:
                yield tp, self._to_batch(tp, fetched, fetched[0].generation)

    def pause(self, tp: TP) -> None:
        """Fetch no more of a partition whose batches wait; the others go on."""
        self._paused.add(tp)

    def resume(self, tp: TP) -> None:
        """Fetch it again."""
        self._paused.discard(tp)

    async def _fetched(self, timeout: float) -> Mapping[TP, Sequence[RecordBatch]]:
        if not self.flow_active:
            await self.wait(cast(Any, self.can_resume_flow))
        wanted = self._get_active_partitions() - self._paused
        if not wanted:
            await asyncio.sleep(PAUSED_SECONDS)
            return {}
        # what is resumed meanwhile must not wait for news of the others
        seconds = PAUSED_SECONDS if self._paused else timeout
        return cast(Mapping[TP, Sequence[RecordBatch]], await self._getmany(wanted, seconds))

    def _to_batch(self, tp: TP, fetched: Sequence[RecordBatch], generation: int) -> ConsumerMessage:
        last = fetched[-1]
        batch = PartitionBatch(tp.topic, tp.partition, generation, fetched)
        return ConsumerMessage(
            tp.topic, tp.partition, last.offset, last.timestamp / 1000.0, 1,
            None, None, cast(Any, batch), None, 0, 0, tp,
            generation_id=generation,
        )  # fmt: skip

    async def highwaters(self, *partitions: TP) -> dict[TP, int]:
        """Of changelogs: where our loader has read to.

        A transaction that follows the load at once (a webhook's result) would move Kafka's own
        answer past that, and stock recovery would wait for ever for records it is never given.
        """
        found: dict[TP, int] = dict(await super().highwaters(*partitions))
        ends = _role(self.app).states.ends
        return {tp: ends.get(TopicPartition(*tp), end) for tp, end in found.items()}

    async def perform_seek(self) -> None:
        """Every source partition to its mark; where none is known, to the beginning."""
        await super().perform_seek()
        generation = _role(self.app).states.generation
        resume_offset: Callable[[TP], int] = self.app.resume_offset  # type: ignore[attr-defined]
        sources = [tp for tp in self.assignment() if not self._is_changelog_tp(tp)]
        if sources:
            thread = cast(BatchConsumerThread, self._thread)
            offsets = {tp: resume_offset(tp) for tp in sources}
            await thread.seek_sources(offsets, generation)
            # a predecessor that was killed had not committed all that its mark says
            self._done.update({tp: offset for tp, offset in offsets.items() if offset})

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
        """Commit what is done of the partitions still assigned; kept until Kafka has taken it."""
        assigned = self.assignment()
        offsets = {tp: offset for tp, offset in self._done.items() if tp in assigned}
        if not offsets or not await self._commit(offsets):
            return False
        for tp, offset in offsets.items():
            if self._done.get(tp) == offset:
                del self._done[tp]
        return True

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """The queue belongs to the generation that ends here."""
        await super().on_partitions_revoked(revoked)
        self._done.clear()
        self._paused.clear()

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Nothing: Faust looks for events that it counted itself, and would call changelogs stuck for ever.

        They are read by our loader; of the sources lag tells (`red-stats lag`, `/metrics`).
        """

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Holes between batches (control records) need no bookkeeping: the mark decides."""


class BatchTransport(driver.Transport):
    """Faust's aiokafka transport with the batched consumer."""

    Consumer = BatchConsumer


def _role(app: Any) -> "Role[Any]":
    """The role that a Faust app of ours runs."""
    role: Role[Any] = app.role
    return role
