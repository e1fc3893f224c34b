"""From the records of a topic to the columns of its ClickHouse table, one reader for each. Pure."""

from array import array
from collections.abc import Callable, Sequence
from itertools import compress
from typing import Any, Final, NamedTuple

import msgspec

from red_common.events import CLIENT_ID, InvalidEvent, to_basis_points
from red_stats import topics
from red_stats.domain import alerts, command_results
from red_stats.domain.bounds import moment_ms
from red_stats.domain.column_batch import ColumnBatch, MeasurementReader
from red_stats.domain.dead_letters import refuse_oversize
from red_stats.domain.deliveries import DeliveryEvent
from red_stats.domain.erasure import ErasedOf
from red_stats.domain.subscriptions import PublicSubscription

EPOCH: Final = 0  # times go in as ms since 1970

Read = Callable[[Any], tuple[Any, ...] | None]  # None: a record that has no row
ReadAll = Callable[[Sequence[Any]], ColumnBatch]


class Recorded(NamedTuple):
    """How one topic is recorded: its table, the columns, the values of a marker row, and a reader.

    `erased_rows` says of each row of columns that the reader made whether it has been erased.
    """

    table: str
    columns: tuple[str, ...]
    empty: tuple[Any, ...]
    reader: Callable[..., ReadAll]  # (partition, partitions) -> records -> columns
    erased_rows: Callable[[ColumnBatch, ErasedOf], list[bool]]

    def without_erased(self, batch: ColumnBatch, erased_of: ErasedOf) -> ColumnBatch:
        """The columns that the reader made without the rows that have been erased."""
        erased = self.erased_rows(batch, erased_of)
        if not any(erased):
            return batch
        kept = [not one for one in erased]
        return batch._replace(
            columns=[_only(column, kept) for column in batch.columns], offsets=_only(batch.offsets, kept)
        )


def _only(column: Any, kept: Sequence[bool]) -> Any:
    values = list(compress(column, kept))
    return array(column.typecode, values) if isinstance(column, array) else values


def _erased_measurements(batch: ColumnBatch, erased_of: ErasedOf) -> list[bool]:
    rows = zip(batch.columns[0], batch.offsets, strict=True)
    return [offset < erased_of(client_id).before for client_id, offset in rows]


def _erased_alerts(batch: ColumnBatch, erased_of: ErasedOf) -> list[bool]:
    rows = zip(batch.columns[0], batch.columns[-1], strict=True)
    return [erased_of(client_id).holds_position(position) for client_id, position in rows]


def _erased_deliveries(batch: ColumnBatch, erased_of: ErasedOf) -> list[bool]:
    rows = zip(batch.columns[0], *batch.columns[-2:], strict=True)
    return [erased_of(client_id).holds_delivery(position, made_at) for client_id, made_at, position in rows]


def _by_rows(read: Read, width: int) -> ReadAll:
    """A reader that handles records one by one, for topics with few of them."""

    def read_all(records: Sequence[Any]) -> ColumnBatch:
        rows: list[tuple[Any, ...]] = []
        unreadable: list[tuple[Any, str]] = []
        offsets: list[int] = []
        for record in records:
            try:
                refuse_oversize(record.key, record.value)
                if (row := read(record)) is not None:
                    rows.append(row)
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


def _steps(event: DeliveryEvent) -> tuple[int | None, ...]:
    return event.dns_ms, event.connect_ms, event.tls_ms, event.first_byte_ms


def _or_none(ms: int | None) -> int:
    return -1 if ms is None else ms


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
        kind = "alert" if d.alert_id else "test"  # where an earlier version wrote none
        return (
            d.client_id, d.id, d.webhook_id, d.alert_id or "", d.subscription_id, d.version, d.state,
            d.attempt, at, d.status or 0, d.error or "", d.ms, due, d.kind or kind, d.first_seq or 0,
            d.last_seq or 0, d.count, d.because or "", *map(_or_none, _steps(d)), enqueued, d.position or "",
        )  # fmt: skip

    return _by_rows(row, len(DELIVERIES.columns))


def terms_of(made: PublicSubscription) -> tuple[Any, ...]:
    """The columns of a version from `threshold_bp` to `in_force_from`; -1 is none."""
    back = -1 if made.rearm_below is None else to_basis_points(made.rearm_below)
    max_age = -1 if made.max_age is None else made.max_age
    return to_basis_points(made.threshold), made.trigger, back, made.min_interval, max_age, made.in_force_from


def _version_reader(partition: int, partitions: int) -> ReadAll:
    def row(record: Any) -> tuple[Any, ...] | None:
        answer = command_results.decode(record.value)
        made = answer.subscription
        if not isinstance(made, PublicSubscription):
            return None
        return (
            answer.client_id, made.id, made.version, int(answer.ended is True), int(made.enabled),
            *terms_of(made), moment_ms(made.updated_at),
        )  # fmt: skip

    return _by_rows(row, len(VERSIONS.columns))


def _erased_versions(batch: ColumnBatch, erased_of: ErasedOf) -> list[bool]:
    rows = zip(batch.columns[0], batch.columns[-1], strict=True)
    return [at <= erased_of(client_id).at for client_id, at in rows]


MEASUREMENTS: Final = Recorded(
    "measurements",
    (
        "client_id", "measured_at", "red_bp", "image_id", "red_pixels", "pixels", "red_excess_bp",
        "red_channel_bp", "width", "height", "format", "bytes", "sha256", "rule", "decoder",
    ),
    ("", EPOCH, 0, "", 0, 0, 0, 0, 0, 0, "", 0, "", "", ""),
    MeasurementReader,
    _erased_measurements,
)  # fmt: skip
ALERTS: Final = Recorded(
    "alerts",
    (
        "client_id", "subscription_id", "seq", "prev_seq", "id", "version", "image_id", "red_bp",
        "threshold_bp", "measured_at", "position",
    ),
    ("", "", 0, 0, "", 0, "", 0, 0, EPOCH, ""),
    _alert_reader,
    _erased_alerts,
)  # fmt: skip
DELIVERIES: Final = Recorded(
    "deliveries",
    (
        "client_id", "id", "webhook_id", "alert_id", "subscription_id", "version", "state", "attempt",
        "at", "status", "error", "ms", "due_at", "kind", "first_seq",
        "last_seq", "count", "because", "dns_ms", "connect_ms", "tls_ms", "first_byte_ms", "enqueued_at",
        "position",
    ),
    ("", "", "", "", "", 0, "", 0, EPOCH, 0, "", 0, EPOCH, "", 0, 0, 0, "", -1, -1, -1, -1, EPOCH,
        ""),
    _delivery_reader,
    _erased_deliveries,
)  # fmt: skip

VERSIONS: Final = Recorded(
    "versions",
    (
        "client_id", "subscription_id", "version", "ended", "enabled", "threshold_bp", "trigger",
        "rearm_below_bp", "min_interval", "max_age", "in_force_from", "at",
    ),
    ("", "", 0, 0, 0, 0, "", -1, 0, -1, "", EPOCH),
    _version_reader,
    _erased_versions,
)  # fmt: skip

#: By source topic that is stored: how it is recorded.
RECORDED: Final = {
    topic: {recorded.table: recorded for recorded in (MEASUREMENTS, ALERTS, DELIVERIES, VERSIONS)}[
        topic.stored_in
    ]
    for topic in topics.ALL
    if topic.stored_in
}
