"""What measurements change in live's tables: one fold for counting, rebuilding and verifying. Pure."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from red_stats import topics
from red_stats.domain import windows
from red_stats.domain.counting import Folded, fold
from red_stats.domain.erasure import ErasedOf, never
from red_stats.domain.measurement_columns import MeasurementColumns
from red_stats.domain.record_batches import Out, TableChange
from red_stats.domain.subscriptions import ThresholdVersion
from red_stats.tables import alert_sequences
from red_stats.tables.declarations import folds_of
from red_stats.tables.live import LiveTables
from red_stats.tables.windows import WindowRows

VersionsOf = Callable[[str], Sequence[ThresholdVersion]]  # by client_id


class MeasuredChange(NamedTuple):
    """The change of each table by its name, and the fold of windows and alerts behind it."""

    folded: Folded[bytes]
    tables: Mapping[str, TableChange]

    def records(self, changelogs: Mapping[str, str]) -> list[Out]:
        """Changelog records and events, as they are to be committed."""
        return list(self._records(changelogs))

    def _records(self, changelogs: Mapping[str, str]) -> Iterator[Out]:
        for name, change in self.tables.items():
            changelog = changelogs[name]
            for key, value in change.rows.items():
                yield changelog, key, value
        for change in self.tables.values():
            yield from change.events

    def apply(self, tables: LiveTables) -> None:
        """Apply the committed change to memory."""
        for name, change in self.tables.items():
            load = getattr(tables, name).load
            for key, value in change.rows.items():
                load(key, value)
        tables.windows.keep_decoded(self.folded.windows)


def fold_measurements(
    readings: MeasurementColumns,
    tables: LiveTables,
    *,
    partition: int,
    versions_of: VersionsOf,
    horizon: int,
    retention_ms: int,
    erased_of: ErasedOf = never,
) -> MeasuredChange:
    """Fold readings of one partition, offsets ascending, onto its tables; nothing is changed yet.

    `horizon` is the newest Kafka time (ms) folded so far. Windows come first: the first changelog
    carries the marks.
    """
    rows = tables.windows
    folded = fold(
        readings,
        partition=partition,
        key_of=WindowRows.key,
        window_of=rows.window,
        versions_of=versions_of,
        sequence_of=tables.alert_sequences,
        horizon=horizon,
        retention_ms=retention_ms,
        erased_of=erased_of,
    )
    expired = dict.fromkeys(rows.expired(folded.horizon, retention_ms))
    changed = {key: windows.encode(window) for key, window in folded.windows.items()}
    sequences = {name.encode(): alert_sequences.encode(one) for name, one in folded.sequences.items()}
    alerts = [(topics.ALERTS, alert.client_id.encode(), alert.value) for alert in folded.alerts]
    changes = {"windows": TableChange(expired | changed), "alert_sequences": TableChange(sequences, alerts)}
    for name, table_fold in folds_of(tables).items():
        rows_of = getattr(tables, name)
        changes[name] = table_fold(folded.kept, rows_of, partition=partition, horizon=folded.horizon)
    return MeasuredChange(folded, changes)
