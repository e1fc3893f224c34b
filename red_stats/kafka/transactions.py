"""One transactional producer per partition: outputs, state and mark commit together or not at all.

Rule 1 of docs/architecture.md, "The four exactness rules". Starting a writer makes Kafka fence an
older one with the same id (a paused predecessor), abort what it left open, and move the committed
end of the log past it.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from types import MappingProxyType
from typing import Any

from aiokafka.errors import (
    InvalidProducerEpoch,
    InvalidTxnState,
    MessageSizeTooLargeError,
    ProducerFenced,
    RecordListTooLargeError,
)
from aiokafka.producer.message_accumulator import BatchBuilder

from red_common.kafka.connection import IllegalOperation, KafkaConnection, KafkaError
from red_common.kafka.shutdown import abandon, ended
from red_stats.domain.record_batches import Out
from red_stats.topics import DEAD_LETTER_BYTES

# After this, Kafka aborts what a dead owner left open, unless a new owner has done so before.
TRANSACTION_TIMEOUT_MS = 30_000
# After the same time a commit cannot succeed; a producer whose broker was killed might wait for ever.
COMMIT_SECONDS = TRANSACTION_TIMEOUT_MS / 1000
START_SECONDS = 30.0
STOP_SECONDS = 5.0
FENCES = (ProducerFenced, InvalidProducerEpoch, InvalidTxnState)
TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)
BATCH_BYTES = 900_000  # below the default max.message.bytes of 1 MiB


class Fenced(Exception):
    """Raised when another process has taken over the partition: this one must stop writing and exit."""


class TooLarge(Exception):
    """Raised when a topic takes no record as large as one of a transaction, so that it can never succeed."""


class WriteFailed(Exception):
    """Raised when a transaction failed or its outcome is unknown; the state must be read again."""


class PartitionWriter:
    """Writes transactions to one partition number of several topics under one transactional id.

    A few records may go to another partition in the same transaction: an answer stands where its client
    looks for it.
    """

    def __init__(
        self,
        connection: KafkaConnection,
        app_id: str,
        partition: int,
        *,
        commit_seconds: float = COMMIT_SECONDS,
    ) -> None:
        self.partition = partition
        self._commit_seconds = commit_seconds
        self._producer = connection.producer(
            transactional_id=f"{app_id}-{partition}",
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
            max_batch_size=BATCH_BYTES,
            max_request_size=DEAD_LETTER_BYTES,
            request_timeout_ms=20_000,
        )

    async def start(self) -> None:
        """Take over the transactional id: every older producer with it is fenced from now on.

        Raises:
            KafkaError, OSError: Kafka does not answer within 30 s.
        """
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._producer.start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Close the connections; Kafka aborts an open transaction when the next owner starts."""
        if not await ended(self._producer.stop(), STOP_SECONDS):  # without Kafka its flush never ends
            await abandon(self._producer)
        self._read_errors()

    def _read_errors(self) -> None:
        """Read the errors of futures that nobody awaits: Python would report them at some later time."""
        accumulator = self._producer._message_accumulator
        batches = [*accumulator._pending_batches, *chain.from_iterable(accumulator._batches.values())]
        waiters = [self._producer._txn_manager._transaction_waiter, *(b._drain_waiter for b in batches)]
        for waiter in waiters:
            if waiter is not None and waiter.done():
                _read_error(waiter)

    async def commit(
        self,
        records: Sequence[Out],
        before_commit: Callable[[], None] = lambda: None,
        *,
        elsewhere: Mapping[int, Sequence[Out]] = MappingProxyType({}),
    ) -> None:
        """Write all records in one transaction, or none; those of `elsewhere` to its partitions.

        Raises:
            Fenced: another process has started a producer with this id.
            TooLarge: a topic refuses the size of what is written; nothing was committed.
            WriteFailed: anything else; whether the transaction was committed is unknown.
        """
        placed = [(self.partition, records), *elsewhere.items()]
        batches = [(number, *one) for number, some in placed for one in _by_topic(some)]
        if not batches:
            return
        try:
            async with asyncio.timeout(self._commit_seconds):
                await self._producer.begin_transaction()
                sent = [one for batch in batches for one in await self._send(*batch)]
                done, _ = await asyncio.wait(sent, return_when=asyncio.FIRST_EXCEPTION)
                for one in done:
                    one.result()
                before_commit()
                await self._producer.commit_transaction()
        except (KafkaError, IllegalOperation, TimeoutError) as error:
            if isinstance(error, FENCES) or self._sender_was_fenced():
                raise Fenced(f"{self._id}: another process has taken over this partition") from error
            if isinstance(error, TOO_LARGE):
                raise TooLarge(f"{self._id}: {_largest(batches)}") from error
            raise WriteFailed(f"{self._id}: {error!r}") from error

    def _sender_was_fenced(self) -> bool:
        """Whether the background sender was fenced first; our own call then fails with another error."""
        task: asyncio.Task[None] | None = self._producer._sender.sender_task
        return (
            task is not None and task.done() and not task.cancelled() and isinstance(task.exception(), FENCES)
        )

    @property
    def _id(self) -> str:
        return str(self._producer._txn_manager.transactional_id)

    async def _send(self, partition: int, topic: str, rows: Sequence[Out]) -> list[asyncio.Future[object]]:
        """Send whole batches instead of single records: 1.5 us a record instead of 10."""
        futures: list[asyncio.Future[object]] = []
        written = 0
        while written < len(rows):
            batch, written = self._filled(rows, written)
            future = await self._producer.send_batch(batch, topic, partition=partition)
            future.add_done_callback(_read_error)  # whatever happens before it is awaited
            futures.append(future)
        return futures

    def _filled(self, rows: Sequence[Out], start: int) -> tuple[BatchBuilder, int]:
        """A full batch of the rows from `start` on, and where the next one starts."""
        batch: BatchBuilder = self._producer.create_batch()
        append, number = batch._builder.append, 0
        for _, key, value in rows[start:] if start else rows:
            if append(number, None, key, value, []) is None:
                break
            number += 1
        batch._relative_offset = number
        batch.close()
        return batch, start + number


def _largest(batches: Iterable[tuple[int, str, Sequence[Out]]]) -> str:
    sizes = {topic: max(len(k or b"") + len(v or b"") for _, k, v in rows) for _, topic, rows in batches}
    told = ", ".join(f"{topic} {size}" for topic, size in sorted(sizes.items(), key=lambda one: -one[1]))
    return f"a topic takes no record of this size; the largest in bytes are {told}: raise max.message.bytes"


def _read_error(future: "asyncio.Future[Any]") -> None:
    if not future.cancelled():
        future.exception()


def _by_topic(records: Sequence[Out]) -> Iterable[tuple[str, list[Out]]]:
    topics: dict[str, list[Out]] = defaultdict(list)
    for record in records:
        topics[record[0]].append(record)
    return topics.items()
