"""The end of a log now, uncommitted records included: what is acknowledged lies before it."""

import asyncio
from collections.abc import Iterable

from aiokafka import AIOKafkaConsumer, TopicPartition

from red_service.ending import ended


class LogEnds:
    """Asks Kafka for log ends over one connection of its own, opened at the first question."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._consumer: AIOKafkaConsumer | None = None
        self._starting = asyncio.Lock()

    async def _start(self) -> AIOKafkaConsumer:
        # read_uncommitted: the committed end may be behind a transaction just acknowledged
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            isolation_level="read_uncommitted",
            enable_auto_commit=False,
        )
        await consumer.start()
        self._consumer = consumer
        return consumer

    async def stop(self) -> None:
        """Disconnects."""
        if self._consumer is not None:
            await ended(self._consumer.stop())

    async def end(self, topic: str, partition: int) -> int:
        """Offset of the next record to be appended.

        Raises:
            KafkaError: Kafka did not answer.
        """
        tp = TopicPartition(topic, partition)
        return (await self.ends([tp]))[tp]

    async def ends(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """The same of many.

        Raises:
            KafkaError: Kafka did not answer.
        """
        async with self._starting:
            consumer = self._consumer or await self._start()
        found: dict[TopicPartition, int] = await consumer.end_offsets(list(partitions))
        return found
