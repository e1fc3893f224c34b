"""Events of keyed requests -> Kafka, in transactions, so that somebody else can end what was begun.

One transactional id per RED process; requests that wait together share a transaction. Starting a
producer with another process's id fences it and aborts what it left open: from then on the log
tells for certain whether its events exist.
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
from red_common.kafka.shutdown import abandon, ended
from red_common.trace_context import TRACEPARENT
from red_service.problems import FromFuture, NotStored, UnknownOutcome
from red_service.publisher import KafkaUnavailable, Position

log = logging.getLogger(__name__)

ANSWER_SECONDS: Final = 10.0  # after hand-over
CONNECT_SECONDS: Final = 5.0  # before it
FIND_SECONDS: Final = 20.0
TRANSACTION_MS: Final = 10_000  # what a dead process left open holds up readers for no longer
TOGETHER: Final = 500  # events in one transaction
FAILURES: Final = (KafkaError, IllegalOperation, OSError, TimeoutError)


class _Job(NamedTuple):
    client_id: str
    partition: int
    values: Sequence[bytes]
    trace: str
    done: "asyncio.Future[list[Position]]"


class KeyedPublisher:
    """The transactional producer of a RED process, started at the first keyed request."""

    def __init__(self, connection: KafkaConnection, transactional_id: str) -> None:
        self.transactional_id = transactional_id
        self._connection = connection
        self._producer: Producer | None = None
        self._starting = asyncio.Lock()
        self._jobs: asyncio.Queue[_Job] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def stop(self) -> None:
        """Ends; requests under way fail with an unknown outcome."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._drop()

    async def place_of(self, client_id: str) -> tuple[int, int]:
        """The client's partition and the offset of the next record to be appended to it.

        Raises:
            KafkaUnavailable: Kafka does not answer.
        """
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                producer = await self._ready()
                count = len(await producer.partitions_for(events.TOPIC))
                partition = partition_of(client_id, count)
                return partition, await self._end(partition)
        except FAILURES as error:
            raise KafkaUnavailable(f"Kafka at {self._connection} does not answer") from error

    async def publish(
        self, client_id: str, partition: int, values: Sequence[bytes], trace: str
    ) -> list[Position]:
        """The positions of the events, all of which are in the log now.

        Raises:
            NotStored: Kafka could not be reached: certainly no event.
            FromFuture: its clock is so far behind that they would not have counted: certainly no event.
            UnknownOutcome: the transaction was begun and its end is not known.
        """
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="keyed requests")
        done: asyncio.Future[list[Position]] = asyncio.get_running_loop().create_future()
        self._jobs.put_nowait(_Job(client_id, partition, values, trace, done))
        return await done

    async def fence(self, transactional_id: str) -> None:
        """Returns when nothing begun under that id can be committed any more.

        Raises:
            KafkaUnavailable: Kafka does not answer.
        """
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                if transactional_id == self.transactional_id:
                    await self._ready()  # a failed transaction of ours took its producer with it
                    return
                other = self._new(transactional_id)
                try:
                    await other.start()
                finally:
                    await abandon(other)
        except FAILURES as error:
            raise KafkaUnavailable(f"Kafka at {self._connection} does not answer") from error

    async def find(self, partition: int, start: int, image_ids: Iterable[str]) -> dict[str, Position]:
        """Where the events of these images stand in a partition from `start` on.

        Raises:
            KafkaUnavailable: Kafka does not answer, or not to the end in time.
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
                end = await self._end(partition)
                beginning = (await consumer.beginning_offsets([tp]))[tp]
                consumer.seek(tp, max(start, beginning))
                while await consumer.position(tp) < end:
                    for record in (await consumer.getmany(timeout_ms=100)).get(tp, ()):
                        image_id = _image_id(record.value)
                        if image_id in wanted:
                            found.setdefault(image_id, Position(partition, record.offset))
        except FAILURES as error:
            raise KafkaUnavailable(f"Kafka at {self._connection} cannot be read to its end") from error
        finally:
            await ended(consumer.stop())
        return found

    async def _end(self, partition: int) -> int:
        """The end with what is not committed yet: whatever is begun later stands behind it."""
        tp = TopicPartition(events.TOPIC, partition)
        consumer = self._connection.consumer(enable_auto_commit=False)
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
                _fail(jobs, UnknownOutcome("RED stops; Kafka has not confirmed the events."))
                raise
            except Exception:  # those that wait behind these must not wait for ever
                log.exception("keyed requests: an unexpected failure")
                await self._drop()
                _fail(jobs, UnknownOutcome("Kafka has not confirmed the event."))

    async def _commit(self, jobs: Sequence[_Job]) -> None:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                producer = await self._ready()
                await _connected(producer, {job.partition for job in jobs})
        except FAILURES as error:
            log.warning("keyed requests: Kafka cannot be reached: %r", error)
            await self._drop()
            _fail(jobs, NotStored("Kafka cannot be reached; the measurement was not stored."))
            return
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                positions = await _transaction(producer, jobs)
        except FromFuture as problem:
            log.error("keyed requests: %s", problem.detail)
            _fail(jobs, problem)
            return
        except FAILURES as error:
            log.warning("keyed requests: no confirmation from Kafka: %r", error)
            await self._drop()
            _fail(jobs, UnknownOutcome("Kafka has not confirmed the event."))
            return
        for job, where in zip(jobs, positions, strict=True):
            if not job.done.done():
                job.done.set_result(where)

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
        """The next use starts a new producer, which ends what this one left open."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await abandon(producer)


async def _connected(producer: Producer, partitions: Iterable[int]) -> None:
    """Before anything is handed over: the leaders can be reached."""
    await producer.partitions_for(events.TOPIC)
    for partition in partitions:
        leader = producer.client.cluster.leader_for_partition(TopicPartition(events.TOPIC, partition))
        if not await producer.client.ready(leader):
            raise OSError("the partition's leader is not connected")


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
        raise FromFuture("Kafka's clock is more than 5 minutes behind: the image would not have counted.")
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
