"""Measurements -> windowed counts and alerts: two folds over the same batch in one transaction."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from red_stats import metrics, topics
from red_stats.domain.measurement_columns import MeasurementColumns, joined
from red_stats.domain.measurements import DeadLetter
from red_stats.domain.record_batches import PartitionBatch, RecordBatch
from red_stats.tables.live import LiveTables
from red_stats.tables.measured_change import MeasuredChange, fold_measurements
from red_stats.tables.partition_state import Effects, Mark, PartitionState, PartitionStates

#: (partition, batches, first offset) -> what counts of their records, and what cannot be read
Read = Callable[[int, Sequence[RecordBatch], int], tuple[MeasurementColumns, list[DeadLetter]]]
SLICE: Final = 2000  # records read before views, webhooks and heartbeats get their turn


async def count_measurements(
    batch: PartitionBatch, *, states: PartitionStates[LiveTables], read: Read, retention_ms: int
) -> bool:
    """Fold one batch of `red.measurements`.

    Committed together: changed rows of every table that follows measurements, tombstones of expired
    windows, alerts and the mark. A record at or below the mark is skipped, so a second delivery
    changes nothing. Dead letters are `record`'s to write.
    """

    async def build(state: PartitionState[LiveTables]) -> Effects | None:
        mark = state.mark(topics.MEASUREMENTS)
        if batch.last_offset <= mark.offset:
            return None
        readings, dead = await _read_in_turns(batch, read, mark.offset + 1)
        change = fold_measurements(
            readings,
            state.tables,
            partition=batch.partition,
            versions_of=state.tables.thresholds.active_versions,
            horizon=mark.time,
            retention_ms=retention_ms,
            erased_of=state.tables.thresholds.erased_of,
        )
        return Effects(
            change.records(states.changelogs),
            {topics.MEASUREMENTS: Mark(batch.last_offset, change.folded.horizon)},
            lambda: _apply(change, state.tables, len(readings), len(dead)),
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


def _apply(change: MeasuredChange, tables: LiveTables, readings: int, unreadable: int) -> None:
    change.apply(tables)
    too_late = change.folded.too_late
    metrics.MEASUREMENTS.labels("yes").inc(readings - too_late)
    metrics.MEASUREMENTS.labels("too late").inc(too_late)
    metrics.MEASUREMENTS.labels("unreadable").inc(unreadable)
    metrics.ALERTS.inc(len(change.folded.alerts))
