"""The end offsets of partitions, asked for over a connection of their own.

On a connection that also fetches, the answer would queue behind a fetch that is waiting for records.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Final

from aiokafka.errors import KafkaTimeoutError

from red_common.kafka.connection import Consumer, KafkaConnection, KafkaError, TopicPartition
from red_common.kafka.shutdown import disconnect, ended

#: Seconds for one try; then another connection: this one may be dead without having been closed.
ANSWER_SECONDS: Final = 5.0
SECONDS: Final = 40.0  # for one question, retries included
PAUSE: Final = 0.2  # seconds between two tries


async def ends_of_logs(
    connection: KafkaConnection, partitions: Iterable[TopicPartition]
) -> dict[TopicPartition, int]:
    """The ends of partitions, asked for once; see `LogEnds`.

    Raises:
        KafkaError: Kafka did not answer within SECONDS, or refused.
    """
    async with LogEnds(connection).opened() as ends:
        return await ends.ends(partitions)


async def until_known(consumer: Consumer, topics: Iterable[str]) -> None:
    """Wait until the consumer knows the topics: asked for an offset in another one, it would ask for 40 s.

    Raises:
        KafkaError: a topic is not there, or an ACL hides it.
    """
    for topic in set(topics):
        await consumer._client._wait_on_metadata(topic)


class LogEnds:
    """Answers where partitions end; connects on the first question, and again after `stop`.

    With `read_uncommitted` (the default) every acknowledged record lies before the end. With
    `read_committed` the end may still be behind a transaction that has just been acknowledged.
    `answer_seconds` is how long one try waits.
    """

    def __init__(
        self,
        connection: KafkaConnection,
        *,
        isolation_level: str = "read_uncommitted",
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        self._connection = connection
        self._isolation_level = isolation_level
        self._answer_seconds = answer_seconds
        self._consumer: Consumer | None = None
        self._starting = asyncio.Lock()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["LogEnds"]:
        """Disconnects on leaving the block; entering it does not connect yet."""
        try:
            yield self
        finally:
            await self.stop()

    async def stop(self) -> None:
        """Closes the connection; the next question opens a new one. Safe to call twice."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await ended(consumer.stop())

    async def end(self, topic: str, partition: int) -> int:
        """The offset that the next record appended to a partition will get.

        Raises:
            KafkaError: Kafka did not answer within SECONDS, or refused.
        """
        tp = TopicPartition(topic, partition)
        return (await self.ends([tp]))[tp]

    async def ends(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """The same for many partitions; retried for up to SECONDS while Kafka is unavailable.

        Raises:
            KafkaError: Kafka did not answer within SECONDS, or refused.
        """
        wanted = list(partitions)
        try:
            async with asyncio.timeout(SECONDS):
                return await self._answered(wanted)
        except TimeoutError:
            raise KafkaTimeoutError(
                f"Kafka did not give the end offsets of {wanted} within {SECONDS:g} s"
            ) from None

    async def _answered(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        while True:
            try:
                return await self._asked(partitions)
            except (TimeoutError, OSError):
                pass
            except KafkaError as error:
                if not error.retriable:
                    raise
            await asyncio.sleep(PAUSE)

    async def _asked(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        async with self._starting:
            consumer = self._consumer or await self._start()
        try:
            async with asyncio.timeout(self._answer_seconds):
                await until_known(consumer, (tp.topic for tp in partitions))
                found: dict[TopicPartition, int] = await consumer.end_offsets(partitions)
                return found
        except BaseException:
            # aiokafka closes a silent connection only after its own, much longer timeout
            disconnect(consumer._client)
            raise

    async def _start(self) -> Consumer:
        consumer = self._connection.consumer(
            isolation_level=self._isolation_level,
            enable_auto_commit=False,
        )
        try:
            await consumer.start()
        except BaseException:
            await ended(consumer.stop())
            raise
        self._consumer = consumer
        return consumer
