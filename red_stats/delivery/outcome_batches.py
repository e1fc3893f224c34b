"""Batches delivery outcomes: those that come during or right after a commit share the next transaction."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence, Set
from typing import Any, Final

from red_stats.agents.updates import Attempted, Update
from red_stats.delivery.shares import Shares
from red_stats.domain.deliveries import Row
from red_stats.tables.deliver import DeliverTables
from red_stats.tables.partition_state import PartitionStates

log = logging.getLogger(__name__)

PAUSE: Final = 0.02  # seconds after a transaction, since each costs Kafka 4 ms
ENOUGH: Final = 24  # updates end the pause: a POST keeps its place until its outcome is committed
RETRY_SECONDS: Final = 1.0

Requeue = Callable[[int, Iterable[Row]], None]
Settle = Callable[[int, Sequence[Update], Set[str], Requeue], Awaitable[bool]]
Push = Callable[[int, Iterable[Row], Mapping[str, int]], None]


class OutcomeBatcher:
    """Commits updates of deliveries, one transaction at a time for each partition.

    Args:
        states: the partitions that role deliver holds.
        settle: commits one transaction; False when the partition is not held.
        shares: a delivery leaves them when its outcome is committed.
        push: queues the rows that go on.
        spawn: runs work as a task.
        on_settled: (partition, updates) is called after each transaction, which leaves room in flight.
    """

    def __init__(
        self,
        *,
        states: PartitionStates[DeliverTables],
        settle: Settle,
        shares: Shares[Any],
        push: Push,
        spawn: Callable[[Awaitable[None]], None],
        on_settled: Callable[[int, Sequence[Update]], None],
    ) -> None:
        self._states = states
        self._settle = settle
        self._shares = shares
        self._push = push
        self._spawn = spawn
        self._on_settled = on_settled
        self._updates: dict[int, list[Update]] = {}
        self._under_way: set[int] = set()
        self._pauses: dict[int, asyncio.Event] = {}  # set: it ends

    def add(self, partition: int, update: Update) -> None:
        """Add an update to the next transaction of its partition."""
        updates = self._updates.setdefault(partition, [])
        updates.append(update)
        if len(updates) >= ENOUGH and partition in self._pauses:
            self._pauses[partition].set()
        if partition not in self._under_way:
            self._under_way.add(partition)
            self._spawn(self._settle_all(partition))

    async def _settle_all(self, partition: int) -> None:
        try:
            while updates := self._updates.pop(partition, None):
                try:
                    await self._settle_some(partition, updates)
                except Exception:  # a bug: what is decided of other deliveries must not be lost with it
                    log.exception("outcomes of partition %d are not committed, trying again", partition)
                    self._updates[partition] = [*updates, *self._updates.get(partition, ())]
                    await asyncio.sleep(RETRY_SECONDS)
                else:
                    await self._pause(partition)
        finally:
            self._under_way.discard(partition)

    async def _pause(self, partition: int) -> None:
        self._pauses[partition] = asyncio.Event()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PAUSE):
                await self._pauses[partition].wait()
        del self._pauses[partition]

    async def _settle_some(self, partition: int, updates: Sequence[Update]) -> None:
        done = {update.row.id for update in updates if isinstance(update, Attempted)}

        def requeue(partition: int, rows: Iterable[Row]) -> None:
            ahead = self._shares.end(done)
            done.clear()  # the push may start the same delivery again at once: that one is not done
            self._push(partition, rows, ahead)

        # False while a rebalance takes the partition anew; afterwards the new state decides.
        while not await self._settle(partition, updates, self._shares.without(done), requeue):
            if partition not in self._states.held:
                break
            await asyncio.sleep(0)
        self._shares.end(done)
        self._on_settled(partition, updates)
