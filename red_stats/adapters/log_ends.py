"""The end of a log now, uncommitted records included: what is acknowledged lies before it."""

from aiokafka import AIOKafkaConsumer, TopicPartition


class LogEnds:
    """Asks Kafka for log ends over one connection of its own."""

    def __init__(self, bootstrap: str) -> None:
        # read_uncommitted: the committed end may be behind a transaction just acknowledged
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap,
            isolation_level="read_uncommitted",
            enable_auto_commit=False,
        )

    async def start(self) -> None:
        """Connects."""
        await self._consumer.start()

    async def stop(self) -> None:
        """Disconnects."""
        await self._consumer.stop()

    async def end(self, topic: str, partition: int) -> int:
        """Offset of the next record to be appended.

        Raises:
            KafkaError: Kafka did not answer.
        """
        tp = TopicPartition(topic, partition)
        ends: dict[TopicPartition, int] = await self._consumer.end_offsets([tp])
        return ends[tp]

    async def beginning(self, topic: str, partition: int) -> int:
        """Offset of the oldest record kept.

        Raises:
            KafkaError: Kafka did not answer.
        """
        tp = TopicPartition(topic, partition)
        beginnings: dict[TopicPartition, int] = await self._consumer.beginning_offsets([tp])
        return beginnings[tp]
