"""Publishes events to Kafka; a failure says whether the event may exist.

Once a batch of an idempotent producer has failed, every later send fails too. So after any failed
send the next event gets a new producer, while the old one may finish what it was given.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final, NamedTuple

from red_common import events
from red_common.kafka.connection import KafkaConnection, KafkaError, Producer, RecordMetadata, TopicPartition
from red_common.kafka.partitioner import partition_of
from red_common.kafka.refusals import denied, refusal
from red_common.kafka.shutdown import abandon, ended
from red_common.trace_context import TRACEPARENT
from red_service import metrics
from red_service.problems import NotStored, UnknownOutcome

log = logging.getLogger(__name__)

ANSWER_SECONDS: Final = 10.0  # for the acknowledgement, once the producer has the event
CONNECT_SECONDS: Final = 5.0  # to reach the partition's leader before that
CHECK_SECONDS: Final = 2.0
STOP_SECONDS: Final = 2.0
CLOCK_SECONDS: Final = 60.0  # ahead of Kafka's clock before it is logged: long before images stop counting


class KafkaUnavailable(Exception):
    """Raised when Kafka does not answer, refuses RED, or lacks the topic; it was given nothing."""


class Position(NamedTuple):
    """The position of an event in its topic; as a string, `partition:offset`."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}:{self.offset}"


class Publisher:
    """The idempotent producer of a RED process, replaced after every failure.

    It never sends an event twice; a client that retries sends a new one. `now` is the clock (Unix seconds).
    """

    def __init__(
        self,
        connection: KafkaConnection,
        *,
        now: Callable[[], float],
        answer_seconds: float = ANSWER_SECONDS,
        connect_seconds: float = CONNECT_SECONDS,
    ) -> None:
        self._connection = connection
        self._now = now
        self._is_ahead = False
        self._answer_seconds = answer_seconds
        self._connect_seconds = connect_seconds
        self._producer: Producer | None = None
        self._starting: asyncio.Task[Producer] | None = None
        self._retiring: set[asyncio.Task[None]] = set()

    async def start(self, wait_seconds: float) -> None:
        """Waits until Kafka answers and has the topic.

        Raises:
            KafkaUnavailable: it did not within `wait_seconds`, or will not have RED.
        """
        deadline = asyncio.get_running_loop().time() + wait_seconds
        is_logged = False
        while True:
            try:
                await self.check()
                return
            except KafkaUnavailable:
                refused = await refusal(self._connection)
                if refused is not None:  # waiting does not mend a wrong password
                    raise KafkaUnavailable(refused) from None
                if asyncio.get_running_loop().time() >= deadline:
                    raise
            if not is_logged:
                log.warning("waiting up to %g s for Kafka at %s", wait_seconds, self._connection)
                is_logged = True
            await asyncio.sleep(0.5)

    async def stop(self) -> None:
        """Waits up to STOP_SECONDS for events in flight, then abandons them."""
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
        if self._producer is not None:
            self._retire(self._producer, seconds=STOP_SECONDS)
        if self._retiring:
            _, late = await asyncio.wait(self._retiring, timeout=STOP_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def check(self) -> None:
        """Asks Kafka for the topic.

        Raises:
            KafkaUnavailable: it does not answer within CHECK_SECONDS, or has no such topic.
        """
        producer = await self._current()
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                cluster = await producer.client.fetch_all_metadata()
        except (KafkaError, OSError, TimeoutError):
            raise KafkaUnavailable(f"Kafka at {self._connection} does not answer") from None
        if not cluster.partitions_for_topic(events.TOPIC):
            raise KafkaUnavailable(
                f"Kafka has no topic {events.TOPIC}, or an ACL hides it: create it with `red-stats topics`"
            )

    async def publish(self, client_id: str, value: bytes, trace: str) -> Position:
        """Publishes one event; returns its position once every in-sync replica has it.

        Args:
            client_id: the record's key.
            value: the event as `events.encode` gives it.
            trace: W3C traceparent, the record's header.

        Raises:
            NotStored: Kafka could not be reached; there is certainly no event.
            UnknownOutcome: Kafka was given the event but did not confirm it; or it did, but its clock is
                so far behind that the event is a dead letter.
        """
        try:
            producer = await self._current()
        except KafkaUnavailable as error:
            raise NotStored(f"{error}.") from None
        sent = await self._hand_over(producer, client_id, value, trace)
        try:
            async with asyncio.timeout(self._answer_seconds):
                stored: RecordMetadata = await sent
        except (KafkaError, TimeoutError) as error:
            self._retire(producer, self._answer_seconds)
            log.warning("Kafka did not confirm an event: %r", error)
            raise UnknownOutcome("Kafka did not confirm the event.") from None
        if stored.offset < 0:  # a duplicate, of which the broker no longer knows the offset
            raise UnknownOutcome("Kafka has the event but does not know its position.")
        self._compare_clocks(stored.timestamp)
        if events.is_from_future(events.decode(value), stored.timestamp):
            raise UnknownOutcome("Kafka's clock is more than 5 minutes behind, so the image may not count.")
        return Position(stored.partition, stored.offset)

    def _compare_clocks(self, logged_at: int) -> None:
        """Logs an error, once, if this clock is so far ahead that events are, or will be, dead letters."""
        ahead = self._now() - logged_at / 1000
        metrics.CLOCK_AHEAD.set(ahead)
        if ahead > CLOCK_SECONDS and not self._is_ahead:
            limit = events.MAX_FUTURE.total_seconds()
            log.error(
                "this clock is %.0f s ahead of Kafka's; beyond %.0f s no image counts: synchronize them",
                ahead,
                limit,
            )
        self._is_ahead = ahead > CLOCK_SECONDS

    async def _hand_over(
        self, producer: Producer, client_id: str, value: bytes, trace: str
    ) -> "asyncio.Future[RecordMetadata]":
        """Puts the event into the producer's buffer; until then nothing can reach Kafka.

        `send` does not suspend between filling the buffer and returning, so a timeout in here means
        that the event is not in the buffer.
        """
        try:
            async with asyncio.timeout(self._connect_seconds):
                partitions = await producer.partitions_for(events.TOPIC)
                partition = partition_of(client_id, len(partitions))
                leader = producer.client.cluster.leader_for_partition(TopicPartition(events.TOPIC, partition))
                if not await producer.client.ready(leader):
                    raise KafkaUnavailable(f"Kafka at {self._connection} is not connected")
                sent: asyncio.Future[RecordMetadata] = await producer.send(
                    events.TOPIC,
                    value,
                    key=client_id.encode(),
                    partition=partition,
                    headers=[(TRACEPARENT, trace.encode())],
                )
                return sent
        except (KafkaError, KafkaUnavailable, TimeoutError, OSError) as error:
            self._retire(producer, self._answer_seconds)
            log.warning("could not hand an event to Kafka: %r", error)
            raise NotStored(
                "Kafka cannot be reached, so the measurement was not stored; try again."
            ) from None

    async def _current(self) -> Producer:
        """The producer in use, or a new one; concurrent callers wait for the same start."""
        if self._producer is not None:
            return self._producer
        if self._starting is None:
            self._starting = asyncio.create_task(self._start_producer(), name="start producer")
        starting = self._starting
        try:
            return await asyncio.shield(starting)
        except (KafkaError, OSError, TimeoutError) as error:
            why = denied(error) or f"Kafka at {self._connection} cannot be reached"
            raise KafkaUnavailable(why) from None

    async def _start_producer(self) -> Producer:
        producer = self._connection.producer(
            enable_idempotence=True,
            acks="all",
            linger_ms=0,
            request_timeout_ms=int(self._answer_seconds * 1000),
        )
        try:
            async with asyncio.timeout(self._connect_seconds):
                await producer.start()
        except BaseException:
            await abandon(producer)
            raise
        else:
            self._producer = producer
            return producer
        finally:
            self._starting = None

    def _retire(self, producer: Producer, seconds: float) -> None:
        """Replaces the producer for the next event; the old one has `seconds` to finish what it was given."""
        if self._producer is not producer:
            return
        self._producer = None
        task = asyncio.create_task(_finish(producer, seconds), name="retire producer")
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)


async def _finish(producer: Producer, seconds: float) -> None:
    if not await ended(producer.stop(), seconds):  # which flushes first
        await abandon(producer)
