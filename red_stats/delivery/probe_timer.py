"""Has endpoints that are disabled probed when their time has come."""

from collections.abc import Callable
from typing import Final

from red_stats.agents.updates import ProbesDue
from red_stats.delivery.timers import Timers
from red_stats.tables.deliver import DeliverTables
from red_stats.tables.partition_state import PartitionStates

LONGEST_MS: Final = 3_600_000  # then it is looked again: the wall clock may have been set


class ProbeTimer:
    """One timer for each partition, at the time of its first probe.

    Args:
        states: the partitions that role deliver holds.
        add: (partition, update) has an update committed; `look` is called after that.
        now: the wall clock, in seconds since 1970.
    """

    def __init__(
        self,
        *,
        states: PartitionStates[DeliverTables],
        add: Callable[[int, ProbesDue], None],
        now: Callable[[], float],
    ) -> None:
        self._states = states
        self._add = add
        self._now = now
        self._timers: Timers[int] = Timers(self._expired)
        self._stopping = False

    def look(self, partition: int) -> None:
        """Set the timer; called after every change of the table."""
        state = self._states.held.get(partition)
        due = state.tables.failing.next_due() if state is not None else None
        if due is None or self._stopping:
            self._timers.cancel(partition)
        else:
            self._timers.set(partition, min(due - int(self._now() * 1000), LONGEST_MS))

    def stop(self) -> None:
        """Have no more probes made."""
        self._stopping = True
        self._timers.cancel_all()

    def _expired(self, partition: int) -> None:
        state, now = self._states.held.get(partition), int(self._now() * 1000)
        if state is not None and state.tables.failing.due(now):
            self._add(partition, ProbesDue(now))
        else:
            self.look(partition)
