"""The batched consumer: one Faust event for what a fetch brought for a partition.

docs/architecture.md, "Beneath Faust", lists what else of Faust is replaced.

Stock Faust spends 100-240 us on every message before our code runs; with one event per fetch and
partition, our own tight loop does the rest. This file uses private API of faust-streaming and aiokafka,
which are pinned; `tests/red_stats/faust/test_batch_consumer.py` tests it.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, cast

from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from red_common.kafka.connection import Consumer, KafkaError, TopicPartition
from red_common.kafka.refusals import denied
from red_stats.domain.record_batches import Parcel, PartitionBatch, RecordBatch
from red_stats.faust.role import Role
from red_stats.kafka.packed_batches import PackedFetches

log = logging.getLogger(__name__)

ERROR_SECONDS = 0.5  # between two looks at whether the group refuses this process
PAUSED_SECONDS = 0.02  # between two looks at whether a paused partition was resumed


class BatchConsumerThread(driver.AIOKafkaConsumerThread):
    """The consumer's own thread, with read_committed and prompt fetches.

    `sought` is the generation for which the source partitions were last sought. What left the fetcher
    before that seek may reach the main thread after it, where it would leave a hole before it.
    """

    sought = -1

    async def seek_sources(self, offsets: Mapping[TP, int], generation: int) -> None:
        """Seek every source partition to the offset at which this generation goes on."""
        await self.call_thread(self._seek_sources, offsets, generation)

    async def _seek_sources(self, offsets: Mapping[TP, int], generation: int) -> None:
        self.sought = generation  # nothing is awaited between here and the seeks
        await self._seek_wait(self._ensure_consumer(), offsets)

    async def on_start(self) -> None:
        """Start the consumer, and watch over its membership of the group."""
        await super().on_start()
        self.add_future(self._tell_errors())

    async def _tell_errors(self) -> None:
        """End the process if an ACL keeps it out of its group.

        aiokafka waits with the error for somebody to ask for records, and whoever is kept out never does.
        """
        coordinator = self._ensure_consumer()._coordinator
        while not self.should_stop:
            await asyncio.sleep(ERROR_SECONDS)
            try:
                coordinator.check_errors()
            except KafkaError as error:
                if (refused := denied(error)) is not None:
                    _role(self.app).states.fatal(refused)
                log.warning("%s: %r", self.app.conf.id, error)

    async def on_thread_stop(self) -> None:
        """Leave the group, even as a static member, so that an orderly stop frees the partitions at once.

        aiokafka would let a static member leave only by its session time-out, which is meant for kills.
        """
        if self._consumer is not None and self._consumer._coordinator is not None:
            self._consumer._coordinator._group_instance_id = None
        await super().on_thread_stop()

    def _create_worker_consumer(self, transport: Any) -> Consumer:
        consumer = super()._create_worker_consumer(transport)
        # Faust uses read_uncommitted unless its own exactly_once is on; its fetch wait of 1.5 s delays
        # the first answer after a seek, and every shutdown.
        options = consumer._isolation_level, consumer._fetch_max_wait_ms, consumer._fetch_min_bytes
        assert options == ("read_uncommitted", 1500, 1), "faust-streaming has changed"
        consumer._isolation_level = "read_committed"
        consumer._fetch_max_wait_ms, consumer._fetch_min_bytes = _role(self.app).fetch
        return consumer

    async def _fetch_records(self, consumer: Consumer, *args: Any, **options: Any) -> Any:
        """Fetch as the driver does, but leave record batches packed, and note how many records follow."""
        fetcher = consumer._fetcher
        if not isinstance(fetcher._records, PackedFetches):
            fetcher._records = PackedFetches(fetcher._records, lambda: self.sought)
        found = await super()._fetch_records(consumer, *args, **options)
        for tp, batches in found.items():
            if batches and consumer._subscription.is_assigned(tp):
                end = consumer.last_stable_offset(tp) or 0
                batches[-1].note_lag(max(0, end - batches[-1].offset - 1))
        return found


class BatchConsumer(driver.Consumer):
    """Delivers batches of the source topics; commits from a queue of its own.

    Committed offsets are only a hint for lag monitors: after every rebalance each source
    partition is sought to its *mark* (`StatsApp.resume_offset`), and only what was fetched after that
    seek is delivered.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._done: dict[TP, int] = {}
        self._paused: set[TP] = set()

    def _new_consumer_thread(self) -> BatchConsumerThread:
        return BatchConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Any]]:
        """One message for each source partition with new records; changelogs deliver nothing."""
        records = await self._fetched(timeout)
        for tp, fetched in records.items():
            if self.should_stop or not fetched or self._is_changelog_tp(tp):
                continue
            # what left the fetcher before the seek of this generation is fetched again
            if fetched[0].generation == self.app.consumer_generation_id:
                yield tp, self._to_batch(tp, fetched, fetched[0].generation)

    def pause(self, tp: TP) -> None:
        """Stop fetching a partition; the others go on."""
        self._paused.add(tp)

    def resume(self, tp: TP) -> None:
        """Go on fetching a partition."""
        self._paused.discard(tp)

    async def _fetched(self, timeout: float) -> Mapping[TP, Sequence[RecordBatch]]:
        if not self.flow_active:
            await self.wait(cast(Any, self.can_resume_flow))
        wanted = self._get_active_partitions() - self._paused
        if not wanted:
            await asyncio.sleep(PAUSED_SECONDS)
            return {}
        # a partition that is resumed meanwhile must not wait for records of the others
        seconds = PAUSED_SECONDS if self._paused else timeout
        return cast(Mapping[TP, Sequence[RecordBatch]], await self._getmany(wanted, seconds))

    def _to_batch(self, tp: TP, fetched: Sequence[RecordBatch], generation: int) -> ConsumerMessage:
        last = fetched[-1]
        parcel = Parcel(PartitionBatch(tp.topic, tp.partition, generation, fetched))
        return ConsumerMessage(
            tp.topic, tp.partition, last.offset, last.timestamp / 1000.0, 1,
            None, None, cast(Any, parcel), None, 0, 0, tp,
            generation_id=generation,
        )  # fmt: skip

    async def highwaters(self, *partitions: TP) -> dict[TP, int]:
        """The ends of partitions; for changelogs, the end to which our loader has read.

        A transaction right after the load (a webhook's result) would move Kafka's own answer past that,
        and stock recovery would wait for ever for records that it never gets.
        """
        found: dict[TP, int] = dict(await super().highwaters(*partitions))
        ends = _role(self.app).states.ends
        return {tp: ends.get(TopicPartition(*tp), end) for tp, end in found.items()}

    async def perform_seek(self) -> None:
        """Seek every source partition to its mark; without a mark, to the beginning."""
        await super().perform_seek()
        generation = _role(self.app).states.generation
        resume_offset: Callable[[TP], int] = self.app.resume_offset  # type: ignore[attr-defined]
        sources = [tp for tp in self.assignment() if not self._is_changelog_tp(tp)]
        if sources:
            thread = cast(BatchConsumerThread, self._thread)
            offsets = {tp: resume_offset(tp) for tp in sources}
            await thread.seek_sources(offsets, generation)
            # a predecessor that was killed may have committed less than its mark
            self._done.update({tp: offset for tp, offset in offsets.items() if offset})

    def ack(self, message: Any) -> bool:
        """Note that a batch is done; one of an older generation is ignored. False if it was noted before."""
        if message.acked:
            return False
        message.acked = True
        self._unacked_messages.discard(message)
        if message.generation_id == self.app.consumer_generation_id:
            self._done[message.tp] = max(self._done.get(message.tp, 0), message.offset + 1)
        return True

    async def force_commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Commit what is done in the partitions still assigned; what Kafka does not accept is kept.

        Returns:
            Whether offsets were committed.
        """
        assigned = self.assignment()
        offsets = {tp: offset for tp, offset in self._done.items() if tp in assigned}
        if not offsets or not await self._commit(offsets):
            return False
        for tp, offset in offsets.items():
            if self._done.get(tp) == offset:
                del self._done[tp]
        return True

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Forget the acknowledgements of the generation that ends here."""
        await super().on_partitions_revoked(revoked)
        self._done.clear()
        self._paused.clear()

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Do nothing: Faust would report changelogs as stuck for ever, since our loader reads them.

        How far behind the source topics are is shown by `red-stats lag`.
        """

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Do nothing: holes between batches (control records) need no bookkeeping, since the mark decides."""


class BatchTransport(driver.Transport):
    """Faust's aiokafka transport with the batched consumer."""

    Consumer = BatchConsumer


def _role(app: Any) -> Role[Any]:
    """The role that an app (a StatsApp) runs."""
    role: Role[Any] = app.role
    return role
