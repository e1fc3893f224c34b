"""Batches delivery outcomes: those that come during or right after a commit share the next transaction."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence, Set
from typing import Any, Final

from red_stats.agents.updates import Attempted, Update
from red_stats.delivery.shares import Shares
from red_stats.domain.deliveries import Row
from red_stats.tables.deliver import DeliverTables
from red_stats.tables.partition_state import PartitionStates

PAUSE: Final = 0.02  # seconds after a transaction: each costs Kafka 4 ms, and nobody waits for an outcome

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

    def add(self, partition: int, update: Update) -> None:
        """Add an update to the next transaction of its partition."""
        self._updates.setdefault(partition, []).append(update)
        if partition not in self._under_way:
            self._under_way.add(partition)
            self._spawn(self._settle_all(partition))

    async def _settle_all(self, partition: int) -> None:
        try:
            while updates := self._updates.pop(partition, None):
                await self._settle_some(partition, updates)
                await asyncio.sleep(PAUSE)
        finally:
            self._under_way.discard(partition)

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
