"""How every client of Kafka in the program is made: in one place, from one connection.

The names of aiokafka that the rest of the program uses are exported here.
"""

from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer as Consumer
from aiokafka import AIOKafkaProducer as Producer
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient as AdminClient
from aiokafka.client import AIOKafkaClient as Client
from aiokafka.errors import IllegalOperation, KafkaError
from aiokafka.structs import RecordMetadata

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


@dataclass(frozen=True, slots=True)
class KafkaConnection:
    """Where a cluster is: `bootstrap` is host:port[,host:port]. Clients are made, not started."""

    bootstrap: str

    def __str__(self) -> str:
        return self.bootstrap

    def producer(self, **options: Any) -> Producer:
        """A producer whose records are acknowledged by every in-sync replica."""
        return Producer(bootstrap_servers=self.bootstrap, **{"acks": "all"} | options)

    def consumer(self, *topics: str, **options: Any) -> Consumer:
        """A consumer that commits nothing by itself; who reads what others write in transactions says so."""
        return Consumer(*topics, bootstrap_servers=self.bootstrap, **{"enable_auto_commit": False} | options)

    def admin(self) -> AdminClient:
        """An admin client; the caller starts and closes it."""
        return AdminClient(bootstrap_servers=self.bootstrap)
