"""Measurements -> windowed counts and alerts: two folds over the same batch in one transaction."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from red_stats import metrics, topics
from red_stats.domain import windows
from red_stats.domain.counting import Folded, fold
from red_stats.domain.measurement_columns import Readings, joined
from red_stats.domain.measurements import DeadLetter
from red_stats.domain.record_batches import Batch, Chunk, Out
from red_stats.tables.partition_state import Effects, Mark, Owned, Ownership
from red_stats.tables.windows import WindowRows

#: (partition, chunks, first offset) -> what counts of their records, and what cannot be read
Read = Callable[[int, Sequence[Chunk], int], tuple[Readings, list[DeadLetter]]]
SLICE: Final = 2000  # records read before views, webhooks and heartbeats get their turn


async def count_measurements(batch: Batch, *, ownership: Ownership, read: Read, retention_ms: int) -> bool:
    """Fold one batch of `red.measurements`.

    Committed together: changed windows, tombstones of expired ones, alert sequences, alerts and
    the mark. A record at or below the mark is skipped, so a second delivery changes nothing.
    Dead letters are `record`'s to write.
    """

    async def build(owned: Owned) -> Effects | None:
        mark = owned.mark(topics.MEASUREMENTS)
        if batch.last_offset <= mark.offset:
            return None
        readings, dead = await _read_in_turns(batch, read, mark.offset + 1)
        rows: WindowRows = owned.rows["windows"]
        folded = fold(
            readings,
            partition=batch.partition,
            key_of=WindowRows.key,
            window_of=rows.window,
            judges_of=owned.rows["thresholds"].judges,
            seq_of=owned.rows["alert_sequences"],
            horizon=mark.time,
            retention_ms=retention_ms,
        )
        expired = rows.expired(folded.horizon, retention_ms)
        encode = windows.encode
        changed = {key: encode(window) for key, window in folded.windows.items()}
        return Effects(
            _records(folded, changed, expired),
            {topics.MEASUREMENTS: Mark(batch.last_offset, folded.horizon)},
            lambda: _apply(owned, folded, changed, expired, len(readings), dead),
        )

    return await ownership.transact(batch.partition, build, generation=batch.generation)


async def _read_in_turns(batch: Batch, read: Read, since: int) -> tuple[Readings, list[DeadLetter]]:
    parts: list[Readings] = []
    dead: list[DeadLetter] = []
    for chunks in batch.slices(SLICE):
        some, unreadable = read(batch.partition, chunks, since)
        parts.append(some)
        dead += unreadable
        await asyncio.sleep(0)
    return joined(parts), dead


def _records(folded: Folded[bytes], changed: Mapping[bytes, bytes], expired: Sequence[bytes]) -> list[Out]:
    changelog = topics.WINDOWS_CHANGELOG
    records: list[Out] = [(changelog, key, value) for key, value in changed.items()]
    records += [(changelog, key, None) for key in expired if key not in changed]
    records += [
        (topics.ALERT_SEQUENCES_CHANGELOG, subscription_id.encode(), b"%d" % seq)
        for subscription_id, seq in folded.sequences.items()
    ]
    records += [(topics.ALERTS, alert.client_id.encode(), alert.value) for alert in folded.alerts]
    return records


def _apply(
    owned: Owned,
    folded: Folded[bytes],
    changed: Mapping[bytes, bytes],
    expired: Sequence[bytes],
    readings: int,
    dead: list[DeadLetter],
) -> None:
    rows: WindowRows = owned.rows["windows"]
    rows.drop(expired)
    rows.put(changed, folded.windows.values())
    owned.rows["alert_sequences"].update(folded.sequences)
    metrics.MEASUREMENTS.labels("yes").inc(readings - folded.too_late)
    metrics.MEASUREMENTS.labels("too late").inc(folded.too_late)
    metrics.MEASUREMENTS.labels("unreadable").inc(len(dead))
    metrics.ALERTS.inc(len(folded.alerts))
