"""From records of a topic to the columns of its ClickHouse table: one reader for each. Pure."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec

from red_common.events import InvalidEvent, to_basis_points
from red_stats.domain.column_batch import Cut, MeasurementReader
from red_stats.domain.measurements import to_ms

EPOCH: Final = 0  # times go in as ms since 1970

Read = Callable[[Any], tuple[Any, ...]]
ReadAll = Callable[[Sequence[Any]], Cut]


class Recorded(NamedTuple):
    """How one topic is recorded: table, columns, the marker row's values, and a reader per partition."""

    table: str
    columns: tuple[str, ...]
    empty: tuple[Any, ...]
    reader: Callable[..., ReadAll]  # (partition, partitions) -> records -> columns


def _by_rows(read: Read, width: int) -> ReadAll:
    """For topics with few records: each by itself."""

    def read_all(records: Sequence[Any]) -> Cut:
        rows: list[tuple[Any, ...]] = []
        unreadable: list[tuple[Any, str]] = []
        offsets: list[int] = []
        for record in records:
            try:
                rows.append(read(record))
                offsets.append(record.offset)
            except InvalidEvent as error:
                unreadable.append((record, str(error)))
        columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(width)]
        ends = records[0].offset, records[0].timestamp, records[-1].offset
        return Cut(columns, offsets, unreadable, *ends)

    return read_all


class _Alert(msgspec.Struct, frozen=True):
    id: str
    subscription_id: str
    version: int
    seq: int
    prev_seq: int
    image_id: str
    red: float
    threshold: float
    measured_at: datetime
    position: str


class _Delivery(msgspec.Struct, frozen=True):
    id: str
    webhook_id: str
    alert_id: str | None
    client_id: str
    subscription_id: str
    version: int
    state: str
    attempt: int
    at: datetime
    status: int | None
    error: str | None
    ms: int
    due_at: datetime | None


def _decoded(kind: Any) -> Callable[[Any], Any]:
    decoder = msgspec.json.Decoder(kind)

    def decode(record: Any) -> Any:
        try:
            return decoder.decode(record.value or b"")
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidEvent(str(error)) from error

    return decode


def _alert_reader(partition: int, partitions: int) -> ReadAll:
    decode = _decoded(_Alert)

    def row(record: Any) -> tuple[Any, ...]:
        a = decode(record)
        return (
            (record.key or b"").decode(errors="replace"), a.subscription_id, a.seq, a.prev_seq, a.id,
            a.version, a.image_id, to_basis_points(a.red), to_basis_points(a.threshold),
            to_ms(a.measured_at), a.position,
        )  # fmt: skip

    return _by_rows(row, len(ALERTS.columns))


def _delivery_reader(partition: int, partitions: int) -> ReadAll:
    decode = _decoded(_Delivery)

    def row(record: Any) -> tuple[Any, ...]:
        d = decode(record)
        return (
            d.client_id, d.id, d.webhook_id, d.alert_id or "", d.subscription_id, d.version, d.state,
            d.attempt, to_ms(d.at), d.status or 0, d.error or "", d.ms,
            to_ms(d.due_at) if d.due_at else EPOCH,
        )  # fmt: skip

    return _by_rows(row, len(DELIVERIES.columns))


MEASUREMENTS: Final = Recorded(
    "measurements",
    (
        "client_id", "measured_at", "red_bp", "image_id", "red_pixels", "pixels", "red_excess_bp",
        "red_channel_bp", "width", "height", "format", "bytes", "sha256", "rule", "decoder",
    ),
    ("", EPOCH, 0, "", 0, 0, 0, 0, 0, 0, "", 0, "", "", ""),
    MeasurementReader,
)  # fmt: skip
ALERTS: Final = Recorded(
    "alerts",
    (
        "client_id", "subscription_id", "seq", "prev_seq", "id", "version", "image_id", "red_bp",
        "threshold_bp", "measured_at", "position",
    ),
    ("", "", 0, 0, "", 0, "", 0, 0, EPOCH, ""),
    _alert_reader,
)  # fmt: skip
DELIVERIES: Final = Recorded(
    "deliveries",
    (
        "client_id", "id", "webhook_id", "alert_id", "subscription_id", "version", "state", "attempt",
        "at", "status", "error", "ms", "due_at",
    ),
    ("", "", "", "", "", 0, "", 0, EPOCH, 0, "", 0, EPOCH),
    _delivery_reader,
)  # fmt: skip
