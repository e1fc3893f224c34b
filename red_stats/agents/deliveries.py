"""Alerts and tasks -> pending deliveries."""

import asyncio
import bisect
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Final

from red_common.events import InvalidEvent
from red_stats import metrics, topics
from red_stats.agents import backlogs
from red_stats.agents.digests import Find, Intervals
from red_stats.agents.settling import events_of, is_erased
from red_stats.domain import deliveries
from red_stats.domain.backlogs import Limits
from red_stats.domain.dead_letters import dead_letter
from red_stats.domain.deliveries import Row
from red_stats.domain.delivery_kinds import READERS
from red_stats.domain.erasure import ErasedOf, never
from red_stats.domain.record_batches import Out, PartitionBatch
from red_stats.tables.deliver import DeliverTables
from red_stats.tables.partition_state import Effects, Mark, PartitionState, PartitionStates

log = logging.getLogger(__name__)

SLICE: Final = 2000  # alerts of one transaction, or one record batch: those behind need not wait for more
TURN: Final = 100  # alerts read before POSTs and heartbeats get their turn: about 3 ms


async def in_slices(batch: PartitionBatch, *, fold: Callable[[PartitionBatch], Awaitable[bool]]) -> bool:
    """Fold a large batch in slices, so that what is behind a storm of alerts goes out before all are read.

    Each slice is a transaction of its own. A second delivery is cut and folded in the same way.

    Args:
        batch: what fetches brought for one partition.
        fold: `enqueue_deliveries`, which returns False when the partition is no longer held.

    Returns:
        Whether the batch may be acknowledged: every slice is committed.
    """
    for some in batch.slices(SLICE):
        if not await fold(batch._replace(batches=some)):
            return False
    return True


async def enqueue_deliveries(
    batch: PartitionBatch,
    *,
    states: PartitionStates[DeliverTables],
    begin: Callable[[int, Iterable[Row]], None],
    push: Callable[[int, Iterable[Row]], None],
    limits: Limits,
    find: Find,
    until_known: Callable[[Iterable[Row]], Awaitable[None]],
    erased_of: ErasedOf = never,
) -> bool:
    """Make deliveries of one batch of `red.alerts` or `red.delivery-tasks`.

    Committed together: the first event and a pending row for each record, dead letters, and the mark. An
    alert within the `min_interval` of its subscription waits for a digest instead, which is made when one
    comes from behind the interval's end, or by `settle`. An alert whose endpoint or client has too many rows
    joins the backlog of its subscription instead. A record at or below the mark is skipped, so a second
    delivery changes nothing; one that has been erased is, too. No HTTP happens here: the row is the promise.
    A POST that can go out at once, and would again, begins while the transaction is under way; if that is
    never committed, the record is read and sent again under the same webhook-id, as after a crash behind
    the POST.

    Args:
        batch: what fetches brought for one partition.
        states: the partitions that role deliver holds.
        begin: (partition, rows) starts the POSTs that can go out at once.
        push: (partition, rows) queues the rows, after the commit.
        limits: how many deliveries have rows.
        find: the subscription of a client as it is now.
        until_known: waits until the versions that raised alerts can be found.
        erased_of: what has been erased of a client.

    Returns:
        Whether the batch may be acknowledged; False when the partition is no longer held.
    """
    read = READERS[batch.topic]
    rows: list[Row] = []

    async def build(state: PartitionState[DeliverTables]) -> Effects | None:
        mark = state.mark(batch.topic)
        if batch.last_offset <= mark.offset:
            push(batch.partition, [row for row in rows if state.tables.pending.get(row.id) is not None])
            return None  # rows: a transaction whose outcome was unknown had been committed after all
        rows.clear()
        read_rows: list[tuple[int, Row]] = []
        letters: list[Out] = []
        for number, record in enumerate(batch.records, 1):
            if number % TURN == 0:
                await asyncio.sleep(0)
            if record.offset <= mark.offset:
                continue
            try:
                row = read(record.key, record.value, record.timestamp)
                if not is_erased(row, erased_of):
                    read_rows.append((record.offset, row))
            except InvalidEvent as error:
                letters.append(dead_letter(batch.topic, batch.partition, record, str(error)))
        await until_known(row for _, row in read_rows)
        intervals = Intervals(state.tables, find)
        if batch.topic == topics.ALERTS:
            division = backlogs.Division(state.tables, limits)
            read_rows = list(_divided(read_rows, intervals, division))
            kept, waiting = division.kept, division.changed
        else:
            read_rows = _to_be_made(read_rows, state.tables, limits)
            kept, waiting = [row for _, row in read_rows], {}
        rows.extend(kept)
        records = [event for _, row in read_rows for event in events_of(row, deliveries.enqueued(row))]
        records += [(states.changelogs["pending"], row.id.encode(), deliveries.encode(row)) for row in rows]
        records += backlogs.records_of(states.changelogs["backlogs"], waiting)
        of_digests = intervals.records(states.changelogs["digests"])

        def apply() -> None:
            for row in rows:
                state.tables.pending.put(row.id, row)
            state.tables.digests.apply(of_digests)
            backlogs.apply(state.tables, waiting)
            metrics.DEAD_LETTERS.labels(batch.topic).inc(len(letters))
            push(batch.partition, rows)

        last = Mark(batch.last_offset, batch.records[-1].timestamp)
        certain = [row for row in rows if row.id in intervals.certain or not row.count]
        return Effects(
            records + of_digests + letters,
            {batch.topic: last},
            apply,
            partial(begin, batch.partition, certain),
        )

    return await states.transact(batch.partition, build, generation=batch.generation)


def _divided(
    rows: Iterable[tuple[int, Row]], intervals: Intervals, division: backlogs.Division
) -> Iterator[tuple[int, Row]]:
    """The deliveries that alerts make, each with its record's offset; `division` has got them."""
    for offset, row in rows:
        made = intervals.take(row, division.backlog(row.subscription_id))
        for one in made:
            division.add(offset, one)
            yield offset, one
        if row not in made:
            division.close(row.subscription_id)


def _to_be_made(
    rows: Sequence[tuple[int, Row]], tables: DeliverTables, limits: Limits
) -> list[tuple[int, Row]]:
    """Without the deliveries that are under way already, or for which there is no room: those stay ended."""
    found: list[tuple[int, Row]] = []
    names: set[str] = set()
    room, ranges = backlogs.RowRoom(tables, limits), dict[str, list[tuple[int, int]]]()
    for offset, row in rows:
        name = row.subscription_id
        if name not in ranges:
            siblings = tables.pending.of.get(name, {}).values()
            ranges[name] = sorted((one.first_seq, one.last_seq) for one in siblings)
        if row.id in names or row.id in tables.pending or _is_in(row, ranges[name], tables):
            continue
        if row.count and not room.is_left(row):
            log.warning("delivery %s is not sent again: too much of its endpoint waits", row.id)
            continue
        found.append((offset, row))
        names.add(row.id)
        room.take(row)
    return found


def _is_in(row: Row, ranges: Sequence[tuple[int, int]], tables: DeliverTables) -> bool:
    """Whether an alert of it waits for a digest, or is in a pending delivery (`ranges` of `seq`)."""
    if not row.count:
        return False
    interval = tables.digests.get(row.subscription_id)
    if interval is not None and interval.count and interval.first_seq <= row.last_seq:
        return True
    before = bisect.bisect_right(ranges, (row.last_seq, row.last_seq))
    return any(last >= row.first_seq for _, last in ranges[max(0, before - 2) : before])
