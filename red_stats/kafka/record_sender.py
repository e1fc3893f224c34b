"""Single records to Kafka for the web: acknowledged by every in-sync replica, or a clear no."""

import asyncio

from red_common.kafka.connection import KafkaConnection, KafkaError, Producer
from red_common.kafka.shutdown import abandon

SECONDS = 5.0


class NotSent(Exception):
    """Raised when Kafka did not acknowledge a record; whether it has it is unknown."""


class RecordSender:
    """One idempotent producer, replaced after any failure: its later sends would fail as well."""

    def __init__(self, connection: KafkaConnection, seconds: float = SECONDS) -> None:
        self._connection = connection
        self._seconds = seconds
        self._producer: Producer | None = None
        self._starting = asyncio.Lock()

    async def send(self, topic: str, key: str, value: bytes) -> None:
        """Write one record by its key (murmur2).

        Raises:
            NotSent: not acknowledged in time.
        """
        producer = None
        try:
            async with asyncio.timeout(self._seconds):
                async with self._starting:
                    producer = self._producer = self._producer or await self._started()
                await producer.send_and_wait(topic, value, key.encode())
        except (KafkaError, OSError, TimeoutError) as error:
            if producer is not None:
                await self._drop(producer)
            raise NotSent(f"Kafka did not take the record: {error!r}") from error

    async def stop(self) -> None:
        """Disconnects."""
        if self._producer is not None:
            await self._drop(self._producer)

    async def _started(self) -> Producer:
        producer = self._connection.producer(enable_idempotence=True, acks="all")
        try:
            await producer.start()
        except BaseException:
            await abandon(producer)
            raise
        return producer

    async def _drop(self, producer: Producer) -> None:
        if self._producer is producer:
            self._producer = None
        await abandon(producer)
