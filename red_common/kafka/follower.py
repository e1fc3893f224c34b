"""Reads a compacted topic to its end and then follows it: all of it, in every process, without a group."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import cast

from red_common.kafka.connection import Consumer, ConsumerRecord, KafkaConnection, KafkaError, TopicPartition
from red_common.kafka.end_offsets import LogEnds
from red_common.kafka.shutdown import ended

log = logging.getLogger(__name__)


class Follower:
    """Follows a topic without a group: reads it to its end, then tails it.

    `apply(record)` is called once for every committed record, in order within a partition, in the event
    loop of `start`; after `stop` and a new `start` it gets the same records again. While Kafka is
    unavailable the state stays as last known, and `behind_since` (monotonic seconds) says since when,
    for readiness checks and metrics. `positions` holds the next offset by partition.
    """

    def __init__(
        self,
        connection: KafkaConnection,
        topic: str,
        apply: Callable[[ConsumerRecord], None],
        *,
        from_end: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.topic = topic
        self.positions: dict[int, int] = {}
        self.behind_since: float | None = monotonic()
        self._connection = connection
        self._apply = apply
        self._from_end = from_end
        self._monotonic = monotonic
        self._consumer: Consumer | None = None
        self._log_ends = LogEnds(connection, isolation_level="read_committed")
        self._task: asyncio.Task[None] | None = None
        self._moved = asyncio.Condition()

    @property
    def is_current(self) -> bool:
        """Whether it is running and Kafka is reachable, so that what was applied is up to date."""
        return self.running and self.behind_since is None

    @property
    def running(self) -> bool:
        """True from a successful `start` until `stop`."""
        return self._task is not None and not self._task.done()

    async def start(self, positions: Mapping[int, int] | None = None) -> None:
        """Returns once the topic has been read to the end it had at the call; at once if already running.

        Reading starts at `positions` (offset by partition), else at the beginning, or with `from_end` at
        the end.

        Raises:
            KafkaError: Kafka cannot be reached, or the topic does not exist.
        """
        if self.running:
            return
        consumer = self._connection.consumer(
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            fetch_max_wait_ms=500,
        )
        self._consumer = consumer
        try:
            await consumer.start()
            numbers = await consumer._client._wait_on_metadata(self.topic)
            partitions = [TopicPartition(self.topic, p) for p in sorted(numbers)]
            consumer.assign(partitions)
            if self._from_end:
                await consumer.seek_to_end(*partitions)
            elif positions is not None:
                for tp in partitions:
                    consumer.seek(tp, positions[tp.partition])
            else:
                await consumer.seek_to_beginning(*partitions)
            for tp in partitions:
                self.positions[tp.partition] = await consumer.position(tp)
            self._task = asyncio.create_task(self._tail(), name=f"follow {self.topic}")
            await self.caught_up()
        except BaseException:
            await self.stop()
            raise
        await self._log_ends.stop()  # most followers never need it again

    async def stop(self) -> None:
        """Stops following; what was applied stays. Safe to call twice."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        if self._consumer is not None:
            await ended(self._consumer.stop())
            self._consumer = None
        await self._log_ends.stop()

    @asynccontextmanager
    async def followed(self) -> AsyncIterator[None]:
        """Follows the topic for the duration of the block.

        Raises:
            KafkaError: Kafka cannot be reached, or the topic does not exist.
        """
        await self.start()
        try:
            yield
        finally:
            await self.stop()

    async def caught_up(self) -> dict[int, int]:
        """Waits until everything committed at the time of the call has been applied.

        Returns:
            The end of every partition, as it was at the call.

        Raises:
            KafkaError: Kafka did not say where the partitions end.
        """
        ends = await self.ends()
        async with self._moved:
            await self._moved.wait_for(lambda: all(self.positions[p] >= end for p, end in ends.items()))
        return ends

    async def until(self, holds: Callable[[], bool]) -> None:
        """Waits until `holds()` is true, which is checked after every poll, even of no records."""
        async with self._moved:
            await self._moved.wait_for(holds)

    async def ends(self) -> dict[int, int]:
        """The committed end of every partition now.

        Raises:
            KafkaError: Kafka did not answer.
        """
        ends = await self._log_ends.ends(TopicPartition(self.topic, p) for p in self.positions)
        return {tp.partition: end for tp, end in ends.items()}

    async def _tail(self) -> None:
        consumer = cast(Consumer, self._consumer)
        while True:
            try:
                batches = await consumer.getmany(timeout_ms=500)
            except KafkaError as error:
                log.warning("reading %s failed, retrying: %s", self.topic, error)
                await asyncio.sleep(0.2)
                continue
            for records in batches.values():
                for record in records:
                    self._apply(record)
            for tp in consumer.assignment():
                # This is past control records too, which getmany never returns.
                self.positions[tp.partition] = await consumer.position(tp)
            reachable = any(not node_down for node_down in _connections(consumer))
            if reachable:
                self.behind_since = None
            elif self.behind_since is None:
                self.behind_since = self._monotonic()
            async with self._moved:
                self._moved.notify_all()


def _connections(consumer: Consumer) -> list[bool]:
    """For every open connection of the consumer, whether it is down."""
    return [not conn.connected() for conn in consumer._client._conns.values()]
