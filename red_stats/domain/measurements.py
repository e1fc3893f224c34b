"""From the record of a measurement to what the folds need: the one judge of what is readable.

Live, record and `verify` all ask here, so they can never disagree about what counts.
"""

import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import cache, lru_cache
from typing import Annotated, Any, Final, NamedTuple, Protocol

import msgspec

from red_common.events import CLIENT_ID, EPOCH, ImageMeasured, InvalidEvent, decode, rfc3339, to_basis_points
from red_common.kafka.partitioner import partition_of

MAX_FUTURE_MS = 5 * 60 * 1000
MAX_KNOWN = 1_000_000
WINDOW_MS = 60_000


class LogRecord(Protocol):
    """What we use of a Kafka record."""

    key: bytes | None
    value: bytes | None
    offset: int
    timestamp: int


class Measurement(msgspec.Struct, gc=False):
    """A readable measurement: `at` is event time, `logged_at` Kafka's, both ms since 1970.

    Little is kept of each: what a batch of many thousands holds no longer fits into the caches.
    """

    offset: int
    client_id: str
    at: int
    red_bp: int
    logged_at: int
    image_id: str


class DeadLetter(NamedTuple):
    """A record that cannot be counted, and why."""

    record: Any
    reason: str


Checked = tuple[ImageMeasured, int]  # a readable event, and its time in ms since 1970


class QuickEvent(ImageMeasured, frozen=True, kw_only=True, gc=False):
    """The event with its time as text: most of it has been seen before."""

    measured_at: str  # type: ignore[assignment]


decode_quickly: Final = msgspec.json.Decoder(QuickEvent).decode
_MOMENT: Final = Annotated[datetime, msgspec.Meta(tz=True)]
_TAIL: Final = re.compile(r"[0-5]\d\.\d{3}Z", re.ASCII)  # of 2026-11-25T02:25:47.707Z
MAX_MINUTES: Final = 100_000


class _Minutes(dict[str, int]):
    """Like "2026-11-25T02:25:" -> ms since 1970; KeyError for what is none, or written in another way."""

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
    """Like "47.707Z" -> ms; there are 60,000. KeyError for what is written in another way."""

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
        MsgspecError: one of them is no time with a zone.
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
    """A function that reads the records of one partition.

    It raises InvalidEvent for a record that belongs into the dead letters: unreadable, of another
    key or partition, from before 1970, or from more than 5 minutes after its Kafka timestamp.
    """

    def check(record: LogRecord) -> Checked:
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
    """Key of a record -> its client_id; None, and not kept, where it is none or none of that partition."""

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

    A record that passes every check at a glance is taken; any other one goes through `validator`,
    which alone says what is wrong with it.
    """

    def __init__(self, partition: int, partitions: int) -> None:
        self._check = validator(partition, partitions)
        self._clients = ClientsOf(partition, partitions)

    def read_all(self, records: Sequence[Any], after: int) -> tuple[list[Measurement], list[DeadLetter]]:
        """Everything behind offset `after`, split into what counts and what is dead."""
        good: list[Measurement] = []
        dead: list[DeadLetter] = []
        append, clients, decoded = good.append, self._clients, decode_quickly
        minutes, tails = _minutes, _tails
        for record in records:
            offset, logged_at = record.offset, record.timestamp
            if offset <= after:
                continue
            try:
                event = decoded(record.value)
                client_id = clients[record.key]
                scaled = event.red * 10000
                text = event.measured_at
                at = minutes[text[:17]] + tails[text[17:]]
            except Exception:
                self._slowly(record, good, dead)
                continue
            bp = int(scaled + 0.5)
            exact = -1e-6 <= scaled - bp <= 1e-6
            if client_id == event.client_id and exact and at <= logged_at + MAX_FUTURE_MS:
                append(Measurement(offset, client_id, at, bp, logged_at, event.image_id))
            else:
                self._slowly(record, good, dead)
        return good, dead

    def _slowly(self, record: Any, good: list[Measurement], dead: list[DeadLetter]) -> None:
        try:
            event, at = self._check(record)
        except InvalidEvent as error:
            dead.append(DeadLetter(record, str(error)))
            return
        bp = to_basis_points(event.red)
        good.append(Measurement(record.offset, event.client_id, at, bp, record.timestamp, event.image_id))


def rfc3339_of(milliseconds: int) -> str:
    """`rfc3339` of ms since 1970, several times faster for times that lie close together."""
    minute, rest = divmod(milliseconds, WINDOW_MS)
    return _minute_text(minute) + _tail_text(rest)


@cache
def _tail_text(milliseconds: int) -> str:
    """Of the 60,000 there are."""
    return f"{milliseconds // 1000:02d}.{milliseconds % 1000:03d}Z"


@lru_cache(maxsize=10_000)
def _minute_text(minute: int) -> str:
    return rfc3339(from_ms(minute * WINDOW_MS))[:17]


def from_ms(milliseconds: int) -> datetime:
    """Milliseconds since 1970 as a UTC time, exact to the last year there is."""
    return EPOCH + timedelta(milliseconds=milliseconds)


def to_ms(moment: datetime) -> int:
    """A time with a zone as ms since 1970, in whole numbers: a float is too coarse for the year 4000."""
    return (moment - EPOCH) // timedelta(milliseconds=1)
