"""Measurements -> windowed counts and alerts: two folds over the same batch in one transaction."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from red_stats import metrics, topics
from red_stats.domain import windows
from red_stats.domain.counting import Folded, fold
from red_stats.domain.measurement_columns import MeasurementColumns, joined
from red_stats.domain.measurements import DeadLetter
from red_stats.domain.record_batches import Out, PartitionBatch, RecordBatch
from red_stats.tables.live import LiveTables
from red_stats.tables.partition_state import Effects, Mark, PartitionState, PartitionStates
from red_stats.tables.windows import WindowRows

#: (partition, batches, first offset) -> what counts of their records, and what cannot be read
Read = Callable[[int, Sequence[RecordBatch], int], tuple[MeasurementColumns, list[DeadLetter]]]
SLICE: Final = 2000  # records read before views, webhooks and heartbeats get their turn


async def count_measurements(
    batch: PartitionBatch, *, states: PartitionStates[LiveTables], read: Read, retention_ms: int
) -> bool:
    """Fold one batch of `red.measurements`.

    Committed together: changed windows, tombstones of expired ones, alert sequences, alerts and
    the mark. A record at or below the mark is skipped, so a second delivery changes nothing.
    Dead letters are `record`'s to write.
    """

    async def build(state: PartitionState[LiveTables]) -> Effects | None:
        mark = state.mark(topics.MEASUREMENTS)
        if batch.last_offset <= mark.offset:
            return None
        readings, dead = await _read_in_turns(batch, read, mark.offset + 1)
        rows = state.tables.windows
        folded = fold(
            readings,
            partition=batch.partition,
            key_of=WindowRows.key,
            window_of=rows.window,
            active_versions=state.tables.thresholds.judges,
            seq_of=state.tables.alert_sequences,
            horizon=mark.time,
            retention_ms=retention_ms,
        )
        expired = rows.expired(folded.horizon, retention_ms)
        encode = windows.encode
        changed = {key: encode(window) for key, window in folded.windows.items()}
        return Effects(
            _records(states.changelogs, folded, changed, expired),
            {topics.MEASUREMENTS: Mark(batch.last_offset, folded.horizon)},
            lambda: _apply(state, folded, changed, expired, len(readings), dead),
        )

    return await states.transact(batch.partition, build, generation=batch.generation)


async def _read_in_turns(
    batch: PartitionBatch, read: Read, since: int
) -> tuple[MeasurementColumns, list[DeadLetter]]:
    parts: list[MeasurementColumns] = []
    dead: list[DeadLetter] = []
    for batches in batch.slices(SLICE):
        some, unreadable = read(batch.partition, batches, since)
        parts.append(some)
        dead += unreadable
        await asyncio.sleep(0)
    return joined(parts), dead


def _records(
    changelogs: Mapping[str, str],
    folded: Folded[bytes],
    changed: Mapping[bytes, bytes],
    expired: Sequence[bytes],
) -> list[Out]:
    changelog = changelogs["windows"]
    records: list[Out] = [(changelog, key, value) for key, value in changed.items()]
    records += [(changelog, key, None) for key in expired if key not in changed]
    records += [
        (changelogs["alert_sequences"], subscription_id.encode(), b"%d" % seq)
        for subscription_id, seq in folded.sequences.items()
    ]
    records += [(topics.ALERTS, alert.client_id.encode(), alert.value) for alert in folded.alerts]
    return records


def _apply(
    state: PartitionState[LiveTables],
    folded: Folded[bytes],
    changed: Mapping[bytes, bytes],
    expired: Sequence[bytes],
    readings: int,
    dead: list[DeadLetter],
) -> None:
    state.tables.windows.drop(expired)
    state.tables.windows.put(changed, folded.windows.values())
    state.tables.alert_sequences.update(folded.sequences)
    metrics.MEASUREMENTS.labels("yes").inc(readings - folded.too_late)
    metrics.MEASUREMENTS.labels("too late").inc(folded.too_late)
    metrics.MEASUREMENTS.labels("unreadable").inc(len(dead))
    metrics.ALERTS.inc(len(folded.alerts))
