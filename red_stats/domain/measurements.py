"""From the record of a measurement to what the folds need: the only place that decides what is readable.

Live, record and `verify` all use it, so they can never disagree about what counts. Pure.
"""

import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import cache, lru_cache
from typing import Annotated, Any, Final, NamedTuple, Protocol

import msgspec

from red_common.events import CLIENT_ID, EPOCH, ImageMeasured, InvalidEvent, decode, rfc3339, to_basis_points
from red_common.kafka.partitioner import partition_of
from red_stats.domain.dead_letters import MAX_RECORD, refuse_oversize

MAX_FUTURE_MS = 5 * 60 * 1000
MAX_KNOWN = 1_000_000  # client_ids kept by key
WINDOW_MS = 60_000
QUICK_BYTES: Final = MAX_RECORD - 64  # with any client_id as its key, such a value is not too large
LAST_MS = 253_402_300_799_999  # the last of the year 9999; no later time can be written


class LogRecord(Protocol):
    """What we use of a Kafka record; `timestamp` in ms since 1970."""

    key: bytes | None
    value: bytes | None
    offset: int
    timestamp: int


class Measurement(msgspec.Struct, gc=False):
    """A readable measurement: `at` is event time, `logged_at` Kafka's, both ms since 1970.

    It holds little: a batch has many thousands of them, which must fit into the processor's caches.
    """

    offset: int
    client_id: str
    at: int
    red_bp: int
    logged_at: int
    image_id: str


class DeadLetter(NamedTuple):
    """A record that cannot be read, and why."""

    record: Any
    reason: str


Checked = tuple[ImageMeasured, int]  # a readable event, and its time in ms since 1970


class QuickEvent(ImageMeasured, frozen=True, kw_only=True, gc=False):
    """The event with its time as text: its minute has usually been converted before."""

    measured_at: str  # type: ignore[assignment]


decode_quickly: Final = msgspec.json.Decoder(QuickEvent).decode
_MOMENT: Final = Annotated[datetime, msgspec.Meta(tz=True)]
_TAIL: Final = re.compile(r"[0-5]\d\.\d{3}Z", re.ASCII)  # of 2026-11-25T02:25:47.707Z
MAX_MINUTES: Final = 100_000


class _Minutes(dict[str, int]):
    """Texts like "2026-11-25T02:25:" -> ms since 1970; KeyError for any other text."""

    def __missing__(self, text: str) -> int:
        try:
            at = to_ms(msgspec.convert(f"{text}00.000Z", _MOMENT))
        except msgspec.MsgspecError:
            raise KeyError(text) from None
        if at < 0 or len(text) != 17:
            raise KeyError(text)
        if len(self) >= MAX_MINUTES:
            self.clear()
        self[text] = at
        return at


class _Tails(dict[str, int]):
    """Texts like "47.707Z" -> ms; there are 60,000. KeyError for any other text."""

    def __missing__(self, text: str) -> int:
        if not _TAIL.fullmatch(text):
            raise KeyError(text)
        at = self[text] = int(text[:2]) * 1000 + int(text[3:6])
        return at


_minutes: Final = _Minutes()
_tails: Final = _Tails()


def milliseconds_of(texts: Sequence[str]) -> list[int]:
    """Times as in an event -> ms since 1970.

    Raises:
        MsgspecError: one of them is not a time with a zone.
    """
    minutes, tails = _minutes, _tails
    try:
        return [minutes[text[:17]] + tails[text[17:]] for text in texts]
    except KeyError:
        return [to_ms(msgspec.convert(text, _MOMENT)) for text in texts]


@lru_cache(maxsize=200_000)
def _partition(client_id: str, partitions: int) -> int:
    return partition_of(client_id, partitions)


def validator(partition: int, partitions: int) -> Callable[[LogRecord], Checked]:
    """A function that reads one record of a partition.

    It raises InvalidEvent for a record that belongs on red.dead-letters: too large, unreadable, with the
    wrong key or in the wrong partition, measured before 1970, or more than 5 minutes after its Kafka
    timestamp.
    """

    def check(record: LogRecord) -> Checked:
        refuse_oversize(record.key, record.value)
        event = decode(record.value)
        if record.key != event.client_id.encode():
            raise InvalidEvent("the record's key is not its client_id")
        if _partition(event.client_id, partitions) != partition:
            raise InvalidEvent("the partition is not murmur2(key)")
        at = to_ms(event.measured_at)
        if at < 0:
            raise InvalidEvent("measured_at is before 1970")
        if at > record.timestamp + MAX_FUTURE_MS:
            raise InvalidEvent("measured_at is more than 5 minutes after the record's Kafka time")
        return event, at

    return check


class ClientsOf(dict[bytes, str]):
    """Key of a record -> client_id; None, and not kept, if it is invalid or of another partition."""

    def __init__(self, partition: int, partitions: int) -> None:
        super().__init__()
        self._partition, self._partitions = partition, partitions

    def __missing__(self, key: bytes) -> str | None:
        client_id = key.decode(errors="replace")
        if not CLIENT_ID.fullmatch(client_id) or partition_of(client_id, self._partitions) != self._partition:
            return None
        if len(self) >= MAX_KNOWN:
            self.clear()
        self[key] = client_id
        return client_id


class BatchReader:
    """Reads the records of one partition by the thousand.

    A record that passes all quick checks is accepted; any other goes through `validator`, which alone
    decides whether it is readable.
    """

    def __init__(self, partition: int, partitions: int) -> None:
        self._check = validator(partition, partitions)
        self._clients = ClientsOf(partition, partitions)

    def read_all(self, records: Sequence[Any], after: int) -> tuple[list[Measurement], list[DeadLetter]]:
        """The records after offset `after`, split into readable measurements and dead letters."""
        good: list[Measurement] = []
        dead: list[DeadLetter] = []
        append, clients, decode_event = good.append, self._clients, decode_quickly
        minutes, tails = _minutes, _tails
        for record in records:
            offset, logged_at = record.offset, record.timestamp
            if offset <= after:
                continue
            try:
                value = record.value
                if len(value) > QUICK_BYTES:
                    raise InvalidEvent("perhaps too large")
                event = decode_event(value)
                client_id = clients[record.key]
                scaled = event.red * 10000
                text = event.measured_at
                at = minutes[text[:17]] + tails[text[17:]]
            except Exception:
                self._validate(record, good, dead)
                continue
            bp = int(scaled + 0.5)
            exact = -1e-6 <= scaled - bp <= 1e-6
            if client_id == event.client_id and exact and at <= logged_at + MAX_FUTURE_MS:
                append(Measurement(offset, client_id, at, bp, logged_at, event.image_id))
            else:
                self._validate(record, good, dead)
        return good, dead

    def _validate(self, record: Any, good: list[Measurement], dead: list[DeadLetter]) -> None:
        try:
            event, at = self._check(record)
        except InvalidEvent as error:
            dead.append(DeadLetter(record, str(error)))
            return
        bp = to_basis_points(event.red)
        good.append(Measurement(record.offset, event.client_id, at, bp, record.timestamp, event.image_id))


def rfc3339_of(milliseconds: int) -> str:
    """`rfc3339` of ms since 1970; several times as fast for times that are close together."""
    minute, rest = divmod(milliseconds, WINDOW_MS)
    return _minute_text(minute) + _tail_text(rest)


@cache
def _tail_text(milliseconds: int) -> str:
    """Seconds and milliseconds of a minute; there are 60,000 such texts."""
    return f"{milliseconds // 1000:02d}.{milliseconds % 1000:03d}Z"


@lru_cache(maxsize=10_000)
def _minute_text(minute: int) -> str:
    return rfc3339(from_ms(minute * WINDOW_MS))[:17]


def from_ms(milliseconds: int) -> datetime:
    """Milliseconds since 1970 as a UTC time, exact up to the year 9999."""
    return EPOCH + timedelta(milliseconds=milliseconds)


def to_ms(moment: datetime) -> int:
    """A time with a zone as ms since 1970, in integers: a float is too coarse for the year 4000."""
    return (moment - EPOCH) // timedelta(milliseconds=1)
