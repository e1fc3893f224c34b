"""From the records of a topic to the columns of its ClickHouse table, one reader for each. Pure."""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from red_common.events import CLIENT_ID, InvalidEvent, to_basis_points
from red_stats import topics
from red_stats.domain import alerts
from red_stats.domain.bounds import moment_ms
from red_stats.domain.column_batch import ColumnBatch, MeasurementReader
from red_stats.domain.dead_letters import refuse_oversize
from red_stats.domain.deliveries import DeliveryEvent

EPOCH: Final = 0  # times go in as ms since 1970

Read = Callable[[Any], tuple[Any, ...]]
ReadAll = Callable[[Sequence[Any]], ColumnBatch]


class Recorded(NamedTuple):
    """How one topic is recorded: its table, the columns, the values of a marker row, and a reader."""

    table: str
    columns: tuple[str, ...]
    empty: tuple[Any, ...]
    reader: Callable[..., ReadAll]  # (partition, partitions) -> records -> columns


def _by_rows(read: Read, width: int) -> ReadAll:
    """A reader that handles records one by one, for topics with few of them."""

    def read_all(records: Sequence[Any]) -> ColumnBatch:
        rows: list[tuple[Any, ...]] = []
        unreadable: list[tuple[Any, str]] = []
        offsets: list[int] = []
        for record in records:
            try:
                refuse_oversize(record.key, record.value)
                rows.append(read(record))
                offsets.append(record.offset)
            except InvalidEvent as error:
                unreadable.append((record, str(error)))
        columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(width)]
        ends = records[0].offset, records[0].timestamp, records[-1].offset
        return ColumnBatch(columns, offsets, unreadable, *ends)

    return read_all


_deliveries = msgspec.json.Decoder(DeliveryEvent)


def _alert_reader(partition: int, partitions: int) -> ReadAll:
    def row(record: Any) -> tuple[Any, ...]:
        a = alerts.decode(record.value)
        return (
            alerts.client_of(record.key), a.subscription_id, a.seq, a.prev_seq, a.id,
            a.version, a.image_id, to_basis_points(a.red), to_basis_points(a.threshold),
            a.measured_ms, a.position,
        )  # fmt: skip

    return _by_rows(row, len(ALERTS.columns))


def _delivery_reader(partition: int, partitions: int) -> ReadAll:
    def row(record: Any) -> tuple[Any, ...]:
        try:
            d = _deliveries.decode(record.value or b"")
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidEvent(f"not a delivery: {error}") from error
        if not CLIENT_ID.fullmatch(d.client_id):
            raise InvalidEvent("client_id is not [a-z0-9_-]{1,64}")
        at, due = moment_ms(d.at), moment_ms(d.due_at) if d.due_at else EPOCH
        enqueued = moment_ms(d.enqueued_at) if d.enqueued_at else at
        return (
            d.client_id, d.id, d.webhook_id, d.alert_id or "", d.subscription_id, d.version, d.state,
            d.attempt, at, d.status or 0, d.error or "", d.ms, due, enqueued,
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
        "at", "status", "error", "ms", "due_at", "enqueued_at",
    ),
    ("", "", "", "", "", 0, "", 0, EPOCH, 0, "", 0, EPOCH, EPOCH),
    _delivery_reader,
)  # fmt: skip

#: By source topic that is stored: how it is recorded.
RECORDED: Final = {
    topic: {recorded.table: recorded for recorded in (MEASUREMENTS, ALERTS, DELIVERIES)}[topic.stored_in]
    for topic in topics.ALL
    if topic.stored_in
}
