"""Measurements -> windowed counts and alerts: two folds over the same batch in one transaction."""

from red_stats import metrics, topics
from red_stats.adapters.batching import Batch
from red_stats.adapters.transactions import Out
from red_stats.domain import windows
from red_stats.domain.counting import Folded, fold
from red_stats.domain.reading import DeadLetter, read_all, reader
from red_stats.tables.ownership import Effects, Mark, Owned, Ownership
from red_stats.tables.rows import WindowRows


async def count_measurements(
    batch: Batch, *, ownership: Ownership, partitions: int, retention_ms: int
) -> bool:
    """Fold one batch of `red.measurements`.

    Committed together: changed windows, tombstones of expired ones, alert sequences, alerts and
    the mark. A record at or below the mark is skipped, so a second delivery changes nothing.
    Dead letters are `record`'s to write.
    """
    read = reader(batch.partition, partitions)

    async def build(owned: Owned) -> Effects | None:
        mark = owned.mark(topics.MEASUREMENTS)
        if batch.last_offset <= mark.offset:
            return None
        readings, dead = read_all(read, batch.records, mark.offset)
        rows: WindowRows = owned.rows["windows"]
        folded = fold(
            readings,
            partition=batch.partition,
            window_of=rows.get,
            judges_of=owned.rows["thresholds"].judges,
            seq_of=owned.rows["alert_sequences"],
            horizon=mark.time,
            retention_ms=retention_ms,
        )
        expired = rows.expired(folded.horizon, retention_ms)
        folded_windows = {
            key: window
            for key, window in folded.windows.items()
            if not windows.is_expired(key[1], folded.horizon, retention_ms)
        }
        folded = folded._replace(windows=folded_windows)
        return Effects(
            _records(folded, expired),
            {topics.MEASUREMENTS: Mark(batch.last_offset, folded.horizon)},
            lambda: _apply(owned, folded, expired, len(readings), dead),
        )

    return await ownership.transact(batch.partition, build, generation=batch.generation)


def _records(folded: Folded, expired: list[tuple[str, int]]) -> list[Out]:
    encode, key_of = windows.encode, WindowRows.key
    records = [
        Out(topics.WINDOWS_CHANGELOG, key_of(client_id, minute), encode(window))
        for (client_id, minute), window in folded.windows.items()
    ]
    records += [
        Out(topics.WINDOWS_CHANGELOG, key_of(client_id, minute), None)
        for client_id, minute in expired
        if (client_id, minute) not in folded.windows
    ]
    records += [
        Out(topics.ALERT_SEQUENCES_CHANGELOG, subscription_id.encode(), b"%d" % seq)
        for subscription_id, seq in folded.sequences.items()
    ]
    records += [Out(topics.ALERTS, alert.client_id.encode(), alert.value) for alert in folded.alerts]
    return records


def _apply(
    owned: Owned,
    folded: Folded,
    expired: list[tuple[str, int]],
    readings: int,
    dead: list[DeadLetter],
) -> None:
    rows: WindowRows = owned.rows["windows"]
    rows.drop(expired)
    rows.put(folded.windows)
    owned.rows["alert_sequences"].update(folded.sequences)
    metrics.MEASUREMENTS.labels("yes").inc(readings - folded.too_late)
    metrics.MEASUREMENTS.labels("too late").inc(folded.too_late)
    metrics.MEASUREMENTS.labels("unreadable").inc(len(dead))
    metrics.ALERTS.inc(len(folded.alerts))
