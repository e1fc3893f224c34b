"""From the record of a measurement to what the folds need: the one judge of what is readable.

Live, record and `verify` all ask here, so they can never disagree about what counts.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from math import floor
from typing import Any, NamedTuple, Protocol

from red_service.events import ImageMeasured, InvalidEvent, decode, partition_of

MAX_FUTURE_MS = 5 * 60 * 1000
WINDOW_MS = 60_000


class LogRecord(Protocol):
    """What we use of a Kafka record."""

    key: bytes | None
    value: bytes | None
    offset: int
    timestamp: int


class Reading(NamedTuple):
    """A readable measurement: `at` is event time, `logged_at` Kafka's, both ms since 1970."""

    offset: int
    client_id: str
    at: int
    red_bp: int
    logged_at: int
    event: ImageMeasured


class DeadLetter(NamedTuple):
    """A record that cannot be counted, and why."""

    record: Any
    reason: str


Reader = Callable[[LogRecord], Reading]


@lru_cache(maxsize=200_000)
def _partition(client_id: str, partitions: int) -> int:
    return partition_of(client_id, partitions)


def reader(partition: int, partitions: int) -> Reader:
    """A function that reads the records of one partition.

    It raises InvalidEvent for a record that belongs into the dead letters: unreadable, of another
    key or partition, from before 1970, or from more than 5 minutes after its Kafka timestamp.
    """
    known: dict[bytes | None, str] = {}

    def read(record: LogRecord) -> Reading:
        event = decode(record.value)
        client_id = event.client_id
        if known.get(record.key) != client_id:
            if record.key != client_id.encode():
                raise InvalidEvent("the record's key is not its client_id")
            if _partition(client_id, partitions) != partition:
                raise InvalidEvent("the partition is not murmur2(key)")
            known[record.key] = client_id
        at = floor(event.measured_at.timestamp() * 1000 + 0.0005)
        logged_at = record.timestamp
        if at < 0:
            raise InvalidEvent("measured_at is before 1970")
        if at > logged_at + MAX_FUTURE_MS:
            raise InvalidEvent("measured_at is more than 5 minutes after the record's Kafka time")
        return Reading(record.offset, client_id, at, int(event.red * 10000 + 0.5), logged_at, event)

    return read


def read_all(read: Reader, records: list[Any], after: int) -> tuple[list[Reading], list[DeadLetter]]:
    """Everything behind offset `after`, split into what counts and what is dead."""
    good: list[Reading] = []
    dead: list[DeadLetter] = []
    append = good.append
    for record in records:
        if record.offset <= after:
            continue
        try:
            append(read(record))
        except InvalidEvent as error:
            dead.append(DeadLetter(record, str(error)))
    return good, dead


def from_ms(milliseconds: int) -> datetime:
    """Milliseconds since 1970 as a UTC time."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
