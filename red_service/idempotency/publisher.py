"""Publishes the events of keyed requests in transactions, so that another process can take over.

Each RED process has one transactional id; requests that wait at the same time share a transaction.
Starting a producer with another process's id fences that process and aborts the transaction it left
open. From then on the log says for certain whether its events exist (docs/adr/0004-idempotency-keys.md).
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from red_common import events, failpoints
from red_common.kafka.connection import (
    IllegalOperation,
    KafkaConnection,
    KafkaError,
    Producer,
    RecordMetadata,
    TopicPartition,
)
from red_common.kafka.partitioner import partition_of
from red_common.kafka.refusals import denied
from red_common.kafka.shutdown import abandon, ended
from red_common.trace_context import TRACEPARENT
from red_service.problems import FromFuture, NotStored, UnknownOutcome
from red_service.publisher import KafkaUnavailable, Position

log = logging.getLogger(__name__)

ANSWER_SECONDS: Final = 10.0  # for a transaction, once it has begun
CONNECT_SECONDS: Final = 5.0  # to reach the partitions' leaders before that
FIND_SECONDS: Final = 20.0  # to read a partition from an intent to its end
TRANSACTION_MS: Final = 10_000  # a transaction left open by a dead process holds up readers no longer
TOGETHER: Final = 500  # events in one transaction, roughly: it takes whole requests
FAILURES: Final = (KafkaError, IllegalOperation, OSError, TimeoutError)


class _Job(NamedTuple):
    client_id: str
    partition: int
    values: Sequence[bytes]
    trace: str
    done: "asyncio.Future[list[Position]]"


class TransactionalPublisher:
    """The transactional producer of a RED process, started by its first keyed request.

    After any failure the next request gets a new producer, which aborts what the old one left open.
    """

    def __init__(self, connection: KafkaConnection, transactional_id: str) -> None:
        self.transactional_id = transactional_id
        self._connection = connection
        self._producer: Producer | None = None
        self._starting = asyncio.Lock()
        self._jobs: asyncio.Queue[_Job] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def stop(self) -> None:
        """Stops publishing; requests in progress fail with UnknownOutcome, and a retry settles them."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._drop()

    async def log_end_of(self, client_id: str) -> tuple[int, int]:
        """The client's partition, and the offset that the next record appended to it will get.

        Raises:
            KafkaUnavailable: Kafka does not answer.
        """
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                producer = await self._ready()
                count = len(await producer.partitions_for(events.TOPIC))
                partition = partition_of(client_id, count)
                return partition, await self._log_end(partition)
        except FAILURES as error:
            raise KafkaUnavailable(f"Kafka at {self._connection} does not answer") from error

    async def publish(
        self, client_id: str, partition: int, values: Sequence[bytes], trace: str
    ) -> list[Position]:
        """Publishes the events of one request, all or none; returns their positions.

        Calling it again publishes them again: `find` what is there first.

        Raises:
            NotStored: Kafka could not be reached; there is certainly no event.
            FromFuture: Kafka's clock is so far behind that they would not count; there is certainly no event.
            UnknownOutcome: the transaction began, and its outcome is not known.
        """
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="keyed requests")
        done: asyncio.Future[list[Position]] = asyncio.get_running_loop().create_future()
        self._jobs.put_nowait(_Job(client_id, partition, values, trace, done))
        return await done

    async def fence(self, transactional_id: str) -> None:
        """Waits until nothing begun under that id can still be committed. Safe to repeat.

        Raises:
            KafkaUnavailable: Kafka does not answer.
        """
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                if transactional_id == self.transactional_id:
                    # A failed transaction of ours dropped its producer: this starts a new one.
                    await self._ready()
                    return
                other = self._new(transactional_id)
                try:
                    await other.start()
                finally:
                    await abandon(other)
        except FAILURES as error:
            why = denied(error) or f"Kafka at {self._connection} does not answer"
            raise KafkaUnavailable(why) from error

    async def find(self, partition: int, start: int, image_ids: Iterable[str]) -> dict[str, Position]:
        """The positions of the committed events of these images, in a partition from offset `start` on.

        Images without an event there are left out.

        Raises:
            KafkaUnavailable: the partition could not be read to its end within FIND_SECONDS.
        """
        wanted, found = set(image_ids), dict[str, Position]()
        tp = TopicPartition(events.TOPIC, partition)
        consumer = self._connection.consumer(
            isolation_level="read_committed",
            enable_auto_commit=False,
            fetch_max_wait_ms=100,
        )
        try:
            async with asyncio.timeout(FIND_SECONDS):
                await consumer.start()
                consumer.assign([tp])
                end = await self._log_end(partition)
                beginning = (await consumer.beginning_offsets([tp]))[tp]
                consumer.seek(tp, max(start, beginning))
                while await consumer.position(tp) < end:
                    for record in (await consumer.getmany(timeout_ms=100)).get(tp, ()):
                        image_id = _image_id(record.value)
                        if image_id in wanted:
                            found.setdefault(image_id, Position(partition, record.offset))
        except FAILURES as error:
            raise KafkaUnavailable(f"the log at {self._connection} cannot be read to its end") from error
        finally:
            await ended(consumer.stop())
        return found

    async def _log_end(self, partition: int) -> int:
        """The end including uncommitted records, so that whatever begins later lies behind it."""
        tp = TopicPartition(events.TOPIC, partition)
        consumer = self._connection.consumer(isolation_level="read_uncommitted", enable_auto_commit=False)
        try:
            await consumer.start()
            return int((await consumer.end_offsets([tp]))[tp])
        finally:
            await ended(consumer.stop())

    async def _run(self) -> None:
        while True:
            jobs = [await self._jobs.get()]
            while not self._jobs.empty() and sum(len(job.values) for job in jobs) < TOGETHER:
                jobs.append(self._jobs.get_nowait())
            try:
                await self._commit(jobs)
            except asyncio.CancelledError:
                _fail(jobs, UnknownOutcome("RED is stopping before Kafka confirmed the events; try again."))
                raise
            except Exception:  # the requests behind these must not wait forever
                log.exception("publishing keyed requests failed unexpectedly")
                await self._drop()
                _fail(jobs, UnknownOutcome("Kafka did not confirm the events; try again."))

    async def _commit(self, jobs: Sequence[_Job]) -> None:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                producer = await self._ready()
                await _connected(producer, {job.partition for job in jobs})
        except FAILURES as error:
            log.warning("could not reach Kafka for keyed requests: %r", error)
            await self._drop()
            _fail(jobs, NotStored("Kafka cannot be reached, so the measurement was not stored; try again."))
            return
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                positions = await _transaction(producer, jobs)
        except FromFuture as problem:
            log.error("aborted the events of keyed requests: %s", problem.detail)
            _fail(jobs, problem)
            return
        except FAILURES as error:
            log.warning("Kafka did not confirm the events of keyed requests: %r", error)
            await self._drop()
            _fail(jobs, UnknownOutcome("Kafka did not confirm the events; try again."))
            return
        for job, found in zip(jobs, positions, strict=True):
            if not job.done.done():
                job.done.set_result(found)

    async def _ready(self) -> Producer:
        async with self._starting:
            if self._producer is None:
                producer = self._new(self.transactional_id)
                try:
                    await producer.start()
                except BaseException:
                    await abandon(producer)
                    raise
                self._producer = producer
            return self._producer

    def _new(self, transactional_id: str) -> Producer:
        return self._connection.producer(
            transactional_id=transactional_id,
            transaction_timeout_ms=TRANSACTION_MS,
            request_timeout_ms=int(ANSWER_SECONDS * 1000),
        )

    async def _drop(self) -> None:
        """Abandons the producer; the next one, under the same id, aborts what it left open."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await abandon(producer)


async def _connected(producer: Producer, partitions: Iterable[int]) -> None:
    """Returns once the partitions' leaders are connected, before Kafka is given any event."""
    await producer.partitions_for(events.TOPIC)
    for partition in partitions:
        leader = producer.client.cluster.leader_for_partition(TopicPartition(events.TOPIC, partition))
        if not await producer.client.ready(leader):
            raise OSError(f"the leader of partition {partition} cannot be reached")


async def _transaction(producer: Producer, jobs: Sequence[_Job]) -> list[list[Position]]:
    failpoints.hit("red.before-transaction")
    await producer.begin_transaction()
    sent = [[await _send(producer, job, value) for value in job.values] for job in jobs]
    stored = [[await future for future in futures] for futures in sent]
    failpoints.hit("red.in-transaction")
    if any(
        events.is_from_future(events.decode(value), record.timestamp)
        for job, records in zip(jobs, stored, strict=True)
        for value, record in zip(job.values, records, strict=True)
    ):
        await producer.abort_transaction()
        raise FromFuture("Kafka's clock is more than 5 minutes behind, so the image would not count.")
    await producer.commit_transaction()
    failpoints.hit("red.after-transaction")
    return [[Position(record.partition, record.offset) for record in records] for records in stored]


async def _send(producer: Producer, job: _Job, value: bytes) -> "asyncio.Future[RecordMetadata]":
    sent: asyncio.Future[RecordMetadata] = await producer.send(
        events.TOPIC,
        value,
        key=job.client_id.encode(),
        partition=job.partition,
        headers=[(TRACEPARENT, job.trace.encode())],
    )
    return sent


def _fail(jobs: Iterable[_Job], error: Exception) -> None:
    for job in jobs:
        if not job.done.done():
            job.done.set_exception(error)


def _image_id(value: bytes | None) -> str | None:
    try:
        return events.decode(value).image_id
    except events.InvalidEvent:
        return None
