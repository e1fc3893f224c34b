"""How every client of Kafka in the program is made: in one place, from one connection.

The names of aiokafka that the rest of the program uses are exported here.
"""

from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer as Consumer
from aiokafka import AIOKafkaProducer as Producer
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient as AdminClient
from aiokafka.client import AIOKafkaClient as Client
from aiokafka.errors import IllegalOperation, KafkaError
from aiokafka.structs import RecordMetadata

from red_common.kafka.security import KafkaSecurity

__all__ = [
    "AdminClient",
    "Client",
    "Consumer",
    "ConsumerRecord",
    "IllegalOperation",
    "KafkaConnection",
    "KafkaError",
    "Producer",
    "RecordMetadata",
    "TopicPartition",
]


class _ClosedUnlessStarted:
    """A client that is closed if it cannot start: else it would complain beside the error."""

    async def start(self) -> None:
        try:
            await super().start()  # type: ignore[misc]
        except (KafkaError, OSError):
            await self.stop()  # type: ignore[attr-defined]
            raise


class _Producer(_ClosedUnlessStarted, Producer):  # type: ignore[misc]
    pass


class _Consumer(_ClosedUnlessStarted, Consumer):  # type: ignore[misc]
    pass


@dataclass(frozen=True, slots=True)
class KafkaConnection:
    """Where a cluster is, and how to be let in: `bootstrap` is host:port[,host:port].

    Clients are made, not started.
    """

    bootstrap: str
    security: KafkaSecurity = field(default_factory=KafkaSecurity)

    def __str__(self) -> str:
        return self.bootstrap

    def producer(self, **options: Any) -> Producer:
        """A producer whose records are acknowledged by every in-sync replica."""
        return _Producer(**self._where(), **{"acks": "all"} | options)

    def consumer(self, *topics: str, **options: Any) -> Consumer:
        """A consumer that commits nothing by itself; who reads what others write in transactions says so."""
        return _Consumer(*topics, **self._where(), **{"enable_auto_commit": False} | options)

    def admin(self) -> AdminClient:
        """An admin client; the caller starts and closes it."""
        return AdminClient(**self._where())

    def _where(self) -> dict[str, Any]:
        return {"bootstrap_servers": self.bootstrap} | self.security.options()
