"""Reads what waits in the log once its endpoints have room for it again."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing
from typing import Any, Final

from red_common.events import InvalidEvent
from red_stats.agents.backlogs import Taken
from red_stats.domain.backlogs import Limits, is_worth_reading, room
from red_stats.domain.deliveries import Row
from red_stats.domain.delivery_kinds import of_alert
from red_stats.domain.erasure import ErasedOf, never
from red_stats.tables.deliver import DeliverTables
from red_stats.tables.partition_state import PartitionStates

log = logging.getLogger(__name__)

PASS_ROWS: Final = 2000  # of one transaction
PASS_RECORDS: Final = 50_000  # then what was found goes out: others have a shorter way to theirs
RETRY_SECONDS: Final = 1.0

Read = Callable[[int, int, int], AsyncGenerator[list[Any], None]]
Push = Callable[[int, Iterable[Row]], None]
Refill = Callable[[int, Mapping[str, Taken], Push], Awaitable[bool]]


class _Wanted:
    """What a pass looks for on behalf of one subscription, and what it has found."""

    def __init__(self, client_id: str, first: int, free: int) -> None:
        self.key = client_id.encode()
        self.first = first
        self.rows: list[Row] = []
        self._free = free
        self._stopped_at: int | None = None

    def take(self, offset: int, row: Row) -> bool:
        """Keep the row of an alert; False if there is no room for it, or for any after it."""
        if len(self.rows) < self._free:
            self.rows.append(row)
            return True
        self._stopped_at = offset
        return False

    def taken(self, reached: int) -> Taken:
        """What was found by a pass that has read everything up to an offset."""
        stopped = self._stopped_at
        return Taken(self.first, max(reached, self.first) if stopped is None else stopped, self.rows)


class BacklogReader:
    """One pass over `red.alerts` at a time for each partition, for all its endpoints that have room.

    Args:
        states: the partitions that role deliver holds.
        read: (partition, start, end) -> the committed records of that range, in steps.
        refill: commits what a pass found; False when the partition is not held.
        push: queues the rows that were made.
        spawn: runs work as a task.
        limits: how many rows are kept.
        erased_of: what has been erased of a client; its alerts are passed over.
    """

    def __init__(
        self,
        *,
        states: PartitionStates[DeliverTables],
        read: Read,
        refill: Refill,
        push: Push,
        spawn: Callable[[Awaitable[None]], None],
        limits: Limits,
        erased_of: ErasedOf = never,
    ) -> None:
        self._states = states
        self._read = read
        self._refill = refill
        self._push = push
        self._spawn = spawn
        self._limits = limits
        self._erased_of = erased_of
        self._under_way: set[int] = set()
        self._stopping = False

    def look(self, partition: int) -> None:
        """Begin to read if something waits for which there is room; called after every change of rows."""
        if partition not in self._under_way and self._wanted(partition):
            self._under_way.add(partition)
            self._spawn(self._read_all(partition))

    def stop(self) -> None:
        """Begin no further pass."""
        self._stopping = True

    def _wanted(self, partition: int) -> dict[str, _Wanted]:
        state = self._states.held.get(partition)
        if state is None or self._stopping:
            return {}
        pending, found = state.tables.pending, {}
        for name, backlog in state.tables.backlogs.items():
            counts = pending.counts(backlog.client_id, name)
            if is_worth_reading(*counts, self._limits):
                found[name] = _Wanted(backlog.client_id, backlog.first, room(*counts, self._limits))
        return found

    async def _read_all(self, partition: int) -> None:
        try:
            while wanted := self._wanted(partition):
                try:
                    await self._pass(partition, wanted)
                except Exception as error:  # Kafka is away, or a bug: what waits is read later
                    log.warning("alerts that wait in partition %d, trying again: %r", partition, error)
                    await asyncio.sleep(RETRY_SECONDS)
        finally:
            self._under_way.discard(partition)

    async def _pass(self, partition: int, wanted: dict[str, _Wanted]) -> None:
        state = self._states.held[partition]
        start = min(one.first for one in wanted.values())
        end = max(state.tables.backlogs[name].last for name in wanted) + 1
        reached = await self._take(partition, start, end, wanted)
        await self._refill(partition, {name: one.taken(reached) for name, one in wanted.items()}, self._push)

    async def _take(self, partition: int, start: int, end: int, wanted: dict[str, _Wanted]) -> int:
        """Find the alerts of `wanted`; the offset up to which everything was read."""
        keys = {one.key for one in wanted.values()}
        hungry, found, read = dict(wanted), 0, 0
        async with aclosing(self._read(partition, start, end)) as steps:
            async for records in steps:
                read += len(records)
                for record in records:
                    row = _delivery_of(record) if record.key in keys else None
                    one = hungry.get(row.subscription_id) if row is not None else None
                    if row is None or one is None or record.offset < one.first:
                        continue
                    if self._erased_of(row.client_id).holds_delivery(row.position, row.since):
                        continue
                    if one.take(record.offset, row):
                        found += 1
                    else:
                        del hungry[row.subscription_id]
                is_enough = found >= PASS_ROWS or read >= PASS_RECORDS or not hungry
                if is_enough or self._stopping or partition not in self._states.held:
                    return int(records[-1].offset) + 1
        return end


def _delivery_of(record: Any) -> Row | None:
    try:
        return of_alert(record.key, record.value, record.timestamp)
    except InvalidEvent:  # its dead letter has been written
        return None
