"""Where logs end now, asked over a connection of its own.

On a connection that fetches, an answer waits behind a fetch that waits for records.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Final

from aiokafka.errors import KafkaTimeoutError

from red_common.kafka.connection import Consumer, KafkaConnection, KafkaError, TopicPartition
from red_common.kafka.shutdown import disconnect, ended

ANSWER_SECONDS: Final = 5.0  # then over a new connection: this one may have died without a word
SECONDS: Final = 40.0
PAUSE: Final = 0.2


class LogEnds:
    """Opens its connection at the first question, and again after `stop`.

    With `read_uncommitted` what is acknowledged lies before the end: the committed one may be behind
    a transaction just acknowledged.
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
    async def opened(self) -> AsyncIterator[None]:
        """Connects at the first question, and disconnects in the end."""
        try:
            yield
        finally:
            await self.stop()

    async def stop(self) -> None:
        """Disconnects."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await ended(consumer.stop())

    async def end(self, topic: str, partition: int) -> int:
        """Offset of the next record to be appended.

        Raises:
            KafkaError: Kafka did not answer.
        """
        tp = TopicPartition(topic, partition)
        return (await self.ends([tp]))[tp]

    async def ends(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """The same of many; asked again while Kafka is away, for `SECONDS`.

        Raises:
            KafkaError: Kafka did not answer.
        """
        wanted = list(partitions)
        try:
            async with asyncio.timeout(SECONDS):
                return await self._answered(wanted)
        except TimeoutError:
            raise KafkaTimeoutError(f"Kafka does not tell the ends of {wanted}") from None

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
                for topic in {tp.topic for tp in partitions}:  # it would pause for one it does not know
                    await consumer._client._wait_on_metadata(topic)
                found: dict[TopicPartition, int] = await consumer.end_offsets(partitions)
                return found
        except BaseException:
            # aiokafka closes a silent connection only when it has waited to the end of its own time
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
