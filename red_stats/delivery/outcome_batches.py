"""Results on their way into transactions: those of a partition that come meanwhile go together."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence, Set

from red_stats.agents.deliveries import News, Posted
from red_stats.domain.deliveries import Row
from red_stats.tables.partition_state import Ownership

Moved = Callable[[int, Iterable[Row]], None]
Settle = Callable[[int, Sequence[News], Set[str], Moved], Awaitable[bool]]
Push = Callable[[int, Iterable[Row], Mapping[str, int]], None]


class Settling:
    """`in_flight` are the rows under way (a settled one leaves it), `push` takes the rows that go on."""

    def __init__(
        self,
        *,
        ownership: Ownership,
        settle: Settle,
        in_flight: dict[str, int],
        push: Push,
        spawn: Callable[[Awaitable[None]], None],
        on_room: Callable[[], None],
    ) -> None:
        self._ownership = ownership
        self._settle = settle
        self._in_flight = in_flight
        self._push = push
        self._spawn = spawn
        self._on_room = on_room
        self._news: dict[int, list[News]] = {}
        self._under_way: set[int] = set()

    def note(self, partition: int, item: News) -> None:
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
        done = {item.row.id for item in news if isinstance(item, Posted)}

        def moved(partition: int, rows: Iterable[Row]) -> None:
            ahead = self._landed(done)
            done.clear()
            self._push(partition, rows, ahead)

        # False while a rebalance takes the partition anew; then the new state decides.
        while not await self._settle(partition, news, self._in_flight.keys() - done, moved):
            if partition not in self._ownership.owned:
                break
            await asyncio.sleep(0)
        self._landed(done)
        self._on_room()

    def _landed(self, done: Set[str]) -> dict[str, int]:
        return {name: self._in_flight.pop(name) for name in done if name in self._in_flight}
