"""Has digests made when their time has come, and nothing from before can come any more."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Final

from red_stats import topics
from red_stats.agents.updates import DigestsDue
from red_stats.delivery.backlog_reader import Read
from red_stats.delivery.timers import Timers
from red_stats.tables.deliver import DeliverTables
from red_stats.tables.partition_state import PartitionStates

log = logging.getLogger(__name__)

RETRY_SECONDS: Final = 1.0
FOLD_SECONDS: Final = 60.0  # then it is looked again how far the log goes


class DigestTimer:
    """One timer for each partition, at the first end of an interval for which alerts wait.

    Kafka's time of an alert decides which digest it is in. So when our clock has reached an end, red.alerts
    is first folded to where it ends at that moment, open transactions included. An alert that Kafka has given
    an earlier time after that, by a clock behind ours, waits for the next digest. A clock of ours that is set
    back delays nothing: ends are planned by the clock of the loop, and none is further off than its interval
    is long.

    Args:
        states: the partitions that role deliver holds.
        end_of: (topic, partition) -> the end of the log, one past the last offset.
        read_alerts: (partition, start, end) -> the committed records of a range of red.alerts, in steps.
        add: (partition, update) has an update committed; `settled` must be called after that.
        spawn: runs work as a task.
        now: the wall clock, in seconds since 1970.
    """

    def __init__(
        self,
        *,
        states: PartitionStates[DeliverTables],
        end_of: Callable[[str, int], Awaitable[int]],
        read_alerts: Read,
        add: Callable[[int, DigestsDue], None],
        spawn: Callable[[Awaitable[None]], None],
        now: Callable[[], float],
    ) -> None:
        self._states = states
        self._end_of = end_of
        self._read_alerts = read_alerts
        self._add = add
        self._spawn = spawn
        self._now = now
        self._timers: Timers[int] = Timers(self.look)
        self._under_way: set[int] = set()
        self._planned: dict[int, tuple[int, float]] = {}  # an end, and when that is by the clock of the loop
        self._stopping = False

    def look(self, partition: int) -> None:
        """Begin to make what is due, or set the timer; called after every change of the table."""
        state = self._states.held.get(partition)
        first = state.tables.digests.next_due() if state is not None else None
        if first is None or partition in self._under_way or self._stopping:
            self._timers.cancel(partition)
            self._planned.pop(partition, None)
            return
        moment = asyncio.get_running_loop().time()
        end, at = self._planned.get(partition, (0, 0.0))
        if end != first.end:
            left = first.end / 1000 - self._now()  # our clock may be behind Kafka's
            at = moment + (min(left, first.length / 1000) if first.length else left)
            self._planned[partition] = first.end, at
        if at > moment and self._now() * 1000 < first.end:
            self._timers.set(partition, int((at - moment) * 1000) + 1)
        else:
            self._under_way.add(partition)
            self._spawn(self._make(partition, max(first.end, int(self._now() * 1000))))

    def settled(self, partition: int) -> None:
        """Note that what was due has been made, or could not be."""
        self._under_way.discard(partition)
        self._planned.pop(partition, None)
        self.look(partition)

    def stop(self) -> None:
        """Make no further digests."""
        self._stopping = True
        self._timers.cancel_all()

    async def _make(self, partition: int, at: int) -> None:
        try:
            await self._fold_all(partition)
        except Exception as error:  # Kafka is away, or a bug: the digests are made late
            log.warning("digests of partition %d, trying again: %r", partition, error)
            await asyncio.sleep(RETRY_SECONDS)
            self.settled(partition)
        else:
            self._add(partition, DigestsDue(at))

    async def _fold_all(self, partition: int) -> None:
        """Returns once everything that stands in red.alerts now is folded."""
        end = await self._end_of(topics.ALERTS, partition)
        state = self._states.held.get(partition)
        if state is None:
            return
        mark, last = state.mark(topics.ALERTS).offset, -1
        if mark + 1 < end:  # often there is only the end of a transaction
            async with aclosing(self._read_alerts(partition, mark + 1, end)) as steps:
                async for records in steps:
                    last = records[-1].offset
        async with asyncio.timeout(FOLD_SECONDS):
            if last >= 0:
                await self._states.reached(topics.ALERTS, partition, last)
