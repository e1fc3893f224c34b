"""Sends single records for the web; each is acknowledged by every in-sync replica, or NotSent is raised."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from red_common.kafka.connection import KafkaConnection, KafkaError, Producer
from red_common.kafka.shutdown import abandon

SECONDS = 5.0
SendAll = Callable[
    [str, Sequence[bytes]], Awaitable[None]
]  # key, values to one topic; as `RecordSender.send`


class NotSent(Exception):
    """Raised when Kafka did not acknowledge a record; it may have been written all the same."""


class RecordSender:
    """One idempotent producer, replaced after any failure, since its later sends would fail too."""

    def __init__(self, connection: KafkaConnection, seconds: float = SECONDS) -> None:
        self._connection = connection
        self._seconds = seconds
        self._producer: Producer | None = None
        self._starting = asyncio.Lock()

    async def send(self, topic: str, key: str, *values: bytes) -> None:
        """Write records in order to the partition of their key (murmur2).

        Raises:
            NotSent: Kafka did not acknowledge all of them within `seconds`; it may have some.
        """
        producer = None
        try:
            async with asyncio.timeout(self._seconds):
                async with self._starting:
                    producer = self._producer = self._producer or await self._started()
                sent = [await producer.send(topic, value, key.encode()) for value in values]
                await asyncio.gather(*sent)
        except (KafkaError, OSError, TimeoutError) as error:
            if producer is not None:
                await self._drop(producer)
            raise NotSent(f"Kafka did not acknowledge the record: {error!r}") from error

    async def stop(self) -> None:
        """Disconnect from Kafka."""
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
