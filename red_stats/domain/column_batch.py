"""Measurements by the thousand as the columns of their table: a column at a time, few objects a row.

As soon as anything looks unusual, `validator` decides record by record what is readable.
"""

from array import array
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from red_common.events import InvalidEvent, to_basis_points
from red_stats.domain.measurements import (
    MAX_FUTURE_MS,
    QUICK_BYTES,
    ClientsOf,
    QuickEvent,
    decode_quickly,
    milliseconds_of,
    validator,
)

MAX_SHARES: Final = 50_000  # remembered; shares with four decimals are only 10,001


class Texts:
    """A column of `count` texts, each preceded by its length, as in ClickHouse's Native format."""

    __slots__ = ("content", "count")

    def __init__(self, content: bytes, count: int) -> None:
        self.content, self.count = content, count

    def __len__(self) -> int:
        return self.count


class ColumnBatch(NamedTuple):
    """Records split into columns of rows with their offsets, and those that cannot be read, with the reason.

    `first` and `last` are the offsets of the first and the last record, readable or not; `at` is the
    Kafka time (ms) of the first.
    """

    columns: list[Any]  # lists, arrays and `Texts` of equal lengths
    offsets: Sequence[int]
    unreadable: list[tuple[Any, str]]
    first: int
    at: int
    last: int


class _Shares(dict[float, int]):
    """Share -> its basis points, remembered: shares have four decimals, so few of them differ."""

    def __init__(self, stored: Callable[[float], int]) -> None:
        self._stored = stored

    def __missing__(self, share: float) -> int:
        stored = self._stored(share)
        if len(self) >= MAX_SHARES:
            self.clear()
        self[share] = stored
        return stored


_exact: Final = _Shares(to_basis_points)
_rounded: Final = _Shares(lambda share: round(share * 10000))


class MeasurementReader:
    """Reads the records of one partition into columns, in the order of `recorded_tables.MEASUREMENTS`."""

    def __init__(self, partition: int, partitions: int) -> None:
        self._check = validator(partition, partitions)
        self._clients = ClientsOf(partition, partitions)

    def __call__(self, records: Sequence[Any]) -> ColumnBatch:
        """The records (at least one) as columns; each becomes a row, or is unreadable with a reason."""
        ends = records[0].offset, records[0].timestamp, records[-1].offset
        try:
            return self._to_columns(records, [], ends)
        except Exception:  # whatever it is, `validator` finds out which record is to blame
            unreadable: list[tuple[Any, str]] = []
            readable = [record for record in records if self._is_readable(record, unreadable)]
            return self._to_columns(readable, unreadable, ends)

    def _is_readable(self, record: Any, unreadable: list[tuple[Any, str]]) -> bool:
        try:
            self._check(record)
        except InvalidEvent as error:
            unreadable.append((record, str(error)))
            return False
        return True

    def _to_columns(
        self, records: Sequence[Any], unreadable: list[tuple[Any, str]], ends: tuple[int, int, int]
    ) -> ColumnBatch:
        values = [record.value for record in records]
        if max(map(len, values), default=0) > QUICK_BYTES:
            raise InvalidEvent("one of them may be too large")
        events: list[QuickEvent] = list(map(decode_quickly, values))
        clients = [event.client_id for event in events]
        client_of = self._clients
        if clients != [client_of[record.key] for record in records]:
            raise InvalidEvent("a record's key is not its client_id, or not of this partition")
        times = _times(events, records)
        return ColumnBatch(
            _columns(events, clients, times), array("Q", [r.offset for r in records]), unreadable, *ends
        )


def _times(events: Sequence[QuickEvent], records: Sequence[Any]) -> "array[int]":
    times = milliseconds_of([event.measured_at for event in events])
    logged = [record.timestamp for record in records]
    if times and (min(times) < 0 or max(times) > min(logged) + MAX_FUTURE_MS):
        for at, logged_at in zip(times, logged, strict=True):
            if not 0 <= at <= logged_at + MAX_FUTURE_MS:
                raise InvalidEvent("measured_at is before 1970 or in the future")
    return array("q", times)


def _columns(events: Sequence[QuickEvent], clients: list[str], times: "array[int]") -> list[Any]:
    return [
        clients,
        times,
        array("H", [_exact[event.red] for event in events]),
        [event.image_id for event in events],
        _unsigned("Q", [event.red_pixels for event in events]),
        _unsigned("Q", [event.pixels for event in events]),
        array("H", [_rounded[event.red_excess] for event in events]),
        array("H", [_rounded[event.red_channel] for event in events]),
        _unsigned("I", [event.width for event in events]),
        _unsigned("I", [event.height for event in events]),
        [event.format for event in events],
        _unsigned("Q", [event.bytes for event in events]),
        [event.sha256 for event in events],
        [event.rule for event in events],
        [event.decoder for event in events],
    ]


def _unsigned(typecode: str, numbers: list[int]) -> "array[int]":
    """Descriptive numbers, capped at what their column can hold: a giant one must not stop the stream."""
    try:
        return array(typecode, numbers)
    except OverflowError:
        largest = (1 << 8 * array(typecode).itemsize) - 1
        return array(typecode, [min(number, largest) for number in numbers])
