"""Batches delivery outcomes: those that arrive during a commit share the partition's next transaction."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence, Set

from red_stats.agents.deliveries import Attempted, News
from red_stats.delivery.in_flight import InFlight
from red_stats.domain.deliveries import Row
from red_stats.tables.deliver import DeliverTables
from red_stats.tables.partition_state import PartitionStates

Requeue = Callable[[int, Iterable[Row]], None]
Settle = Callable[[int, Sequence[News], Set[str], Requeue], Awaitable[bool]]
Push = Callable[[int, Iterable[Row], Mapping[str, int]], None]


class OutcomeBatcher:
    """Commits what happened to deliveries, a transaction at a time for each partition.

    Args:
        settle: one transaction; False when the partition is not held.
        in_flight: a delivery leaves it when its outcome is committed.
        push: takes the rows that go on.
        spawn: runs work beside everything else.
        on_room: called after each transaction: there is room in flight.
    """

    def __init__(
        self,
        *,
        states: PartitionStates[DeliverTables],
        settle: Settle,
        in_flight: InFlight,
        push: Push,
        spawn: Callable[[Awaitable[None]], None],
        on_room: Callable[[], None],
    ) -> None:
        self._states = states
        self._settle = settle
        self._in_flight = in_flight
        self._push = push
        self._spawn = spawn
        self._on_room = on_room
        self._news: dict[int, list[News]] = {}
        self._under_way: set[int] = set()

    def add(self, partition: int, item: News) -> None:
        """Into the next transaction of that partition."""
        self._news.setdefault(partition, []).append(item)
        if partition not in self._under_way:
            self._under_way.add(partition)
            self._spawn(self._settle_all(partition))

    async def _settle_all(self, partition: int) -> None:
        try:
            while news := self._news.pop(partition, None):
                await self._settle_some(partition, news)
        finally:
            self._under_way.discard(partition)

    async def _settle_some(self, partition: int, news: Sequence[News]) -> None:
        done = {item.row.id for item in news if isinstance(item, Attempted)}

        def requeue(partition: int, rows: Iterable[Row]) -> None:
            self._push(partition, rows, self._in_flight.end(done))

        # False while a rebalance takes the partition anew; then the new state decides.
        while not await self._settle(partition, news, self._in_flight.without(done), requeue):
            if partition not in self._states.held:
                break
            await asyncio.sleep(0)
        self._in_flight.end(done)
        self._on_room()
