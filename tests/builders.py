"""Builders of the things tests speak of."""

from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import orjson

from red_common.events import rfc3339
from red_common.kafka.partitioner import partition_of
from red_stats.domain.measurements import from_ms
from red_stats.domain.record_batches import PartitionBatch, RecordBatch
from red_stats.domain.subscriptions import Subscription

NOW = 1_790_000_000_000  # ms


def a_client_of(partition: int, partitions: int = 4, prefix: str = "client") -> str:
    """A client_id whose records belong to that partition."""
    return next(
        name for name in (f"{prefix}-{i}" for i in range(1000)) if partition_of(name, partitions) == partition
    )


def a_measurement(client_id: str, red: Any = 0.5, at: int = NOW, **changes: Any) -> bytes:
    fields = {
        "image_id": "0192f0c1-7000-7000-8000-000000000001",
        "client_id": client_id,
        "measured_at": rfc3339(from_ms(at)),
        "red": red,
    }
    return orjson.dumps(fields | changes)


def a_record(value: bytes | None, offset: int = 0, key: bytes | None = None, at: int = NOW) -> Any:
    return SimpleNamespace(key=key, value=value, offset=offset, timestamp=at)


def measured(
    client_id: str, red: Any = 0.5, offset: int = 0, at: int = NOW, logged_at: int | None = None
) -> Any:
    logged = at if logged_at is None else logged_at
    return a_record(a_measurement(client_id, red, at), offset, client_id.encode(), logged)


def an_alert(**changes: Any) -> bytes:
    fields = {
        "id": str(uuid4()),
        "subscription_id": str(uuid4()),
        "version": 1,
        "seq": 1,
        "prev_seq": 0,
        "image_id": "0192f0c1-7000-7000-8000-000000000001",
        "red": 0.5,
        "threshold": 0.25,
        "measured_at": "2026-01-01T00:00:00.000Z",
        "position": "1:7",
    }
    return orjson.dumps(fields | changes)


def a_subscription_id(number: int = 1) -> str:
    return str(UUID(int=number, version=4))


def next_end(digests: Any) -> int | None:
    """The end of the first interval for which something waits."""
    first = digests.next_due()
    return None if first is None else first.end


class Numbers(dict[str, int]):
    """The rows of a table of numbers by name."""

    def load(self, key: bytes, value: bytes | None) -> None:
        if value is None:
            self.pop(key.decode(), None)
        else:
            self[key.decode()] = int(value)

    def encoded(self) -> dict[bytes, bytes]:
        return {name.encode(): b"%d" % number for name, number in self.items()}


def a_subscription(**changes: Any) -> Subscription:
    fields = {
        "id": a_subscription_id(),
        "version": 1,
        "webhook_url": "https://hooks.example/",
        "threshold": 0.25,
        "since": 0,
        "partition": 0,
        "created_at": rfc3339(from_ms(NOW)),
        "updated_at": rfc3339(from_ms(NOW)),
    }
    return Subscription(**(fields | changes))


class AFetchedBatch(list[Any]):
    """Records as one record batch of a fetch."""

    @property
    def base_offset(self) -> int:
        return int(self[0].offset)

    @property
    def next_offset(self) -> int:
        return int(self[-1].offset) + 1

    @property
    def max_timestamp(self) -> int:
        return int(self[-1].timestamp)


def a_batch(topic: str, partition: int, records: list[Any], generation: int = 1) -> PartitionBatch:
    return PartitionBatch(topic, partition, generation, [RecordBatch(AFetchedBatch(records))])
