"""Which new deliveries get a row, which alerts wait in the log, and how those get theirs."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from red_stats.domain import backlogs, deliveries
from red_stats.domain.backlogs import Backlog, Limits
from red_stats.domain.deliveries import Row
from red_stats.domain.record_batches import Out
from red_stats.tables.backlogs import encode
from red_stats.tables.deliver import DeliverTables
from red_stats.tables.partition_state import Effects, PartitionState, PartitionStates

log = logging.getLogger(__name__)

Changed = dict[str, Backlog | None]


class Taken(NamedTuple):
    """What one pass over the log found for a subscription.

    `rows` are those of its backlog's alerts from `first`, which was its beginning, up to the offset `next`.
    """

    first: int
    next: int
    rows: list[Row]


class RowRoom:
    """Room for the rows that one transaction makes, beside those of the table."""

    def __init__(self, tables: DeliverTables, limits: Limits) -> None:
        self._pending = tables.pending
        self._limits = limits
        self._endpoints, self._clients = Counter[str](), Counter[str]()

    def is_left(self, row: Row) -> bool:
        """Whether the endpoint and the client of a row may have one more."""
        of_endpoint, of_client = self._pending.counts(row.client_id, row.subscription_id)
        of_endpoint += self._endpoints[row.subscription_id]
        return backlogs.room(of_endpoint, of_client + self._clients[row.client_id], self._limits) > 0

    def take(self, row: Row) -> None:
        """Note that a row is made."""
        self._endpoints[row.subscription_id] += 1
        self._clients[row.client_id] += 1


class Division:
    """Which new deliveries of one transaction get rows, and which alerts wait in the log.

    `kept` are the rows, `changed` the backlogs that the others lengthen. Once a subscription has a backlog,
    every later delivery of an alert joins it; digests are always kept.
    """

    def __init__(self, tables: DeliverTables, limits: Limits) -> None:
        self._tables = tables
        self._room = RowRoom(tables, limits)
        self.kept: list[Row] = []
        self.changed: Changed = {}

    def backlog(self, name: str) -> Backlog | None:
        """The backlog of a subscription, if it has one."""
        return self.changed.get(name) or self._tables.backlogs.get(name)

    def add(self, offset: int, row: Row) -> None:
        """Keep a delivery, or let the alert of the record at `offset` wait."""
        name = row.subscription_id
        waiting = self.backlog(name)
        if row.alert_id and (waiting is not None or not self._room.is_left(row)):
            self.changed[name] = backlogs.extended(waiting, row.client_id, offset)
            return
        self.kept.append(row)
        self._room.take(row)

    def close(self, name: str) -> None:
        """Let no more alerts join the backlog of a subscription, if it has one: one waits for a digest."""
        waiting = self.backlog(name)
        if waiting is not None and not waiting.closed:
            self.changed[name] = backlogs.closed(waiting)


def records_of(changelog: str, changed: Changed) -> list[Out]:
    """The changelog records of changed backlogs."""
    return [
        (changelog, name.encode(), None if backlog is None else encode(backlog))
        for name, backlog in changed.items()
    ]


def apply(tables: DeliverTables, changed: Changed) -> None:
    """Change backlogs in memory."""
    for name, backlog in changed.items():
        if backlog is None:
            tables.backlogs.pop(name, None)
        else:
            tables.backlogs[name] = backlog


async def refill(
    partition: int,
    taken: Mapping[str, Taken],
    push: Callable[[int, Iterable[Row]], None],
    *,
    states: PartitionStates[DeliverTables],
) -> bool:
    """Give alerts of backlogs their rows, by subscription, and shorten the backlogs, in one transaction.

    A backlog that does not begin where the pass began has been shortened since, so a second time
    changes nothing. `push` gets the rows that stand in the table.

    Returns:
        False when the partition is not held.
    """

    async def build(state: PartitionState[DeliverTables]) -> Effects | None:
        tables = state.tables
        changed: Changed = {}
        new: list[Row] = []
        for name, part in taken.items():
            backlog = tables.backlogs.get(name)
            if backlog is not None and backlog.first == part.first < part.next:
                changed[name] = backlogs.shortened(backlog, part.next, len(part.rows))
                new += part.rows
        if not changed:
            push(partition, [row for part in taken.values() for row in part.rows if row.id in tables.pending])
            return None
        records = [(states.changelogs["pending"], row.id.encode(), deliveries.encode(row)) for row in new]

        def commit() -> None:
            for row in new:
                tables.pending.put(row.id, row)
            for name, backlog in changed.items():
                gone = tables.backlogs[name].alerts - len(taken[name].rows)
                if backlog is None and gone > 0:
                    log.error(
                        "%d alerts of subscription %s are in Kafka no more, and were not sent", gone, name
                    )
            apply(tables, changed)
            push(partition, new)

        return Effects(records + records_of(states.changelogs["backlogs"], changed), {}, commit)

    return await states.transact(partition, build)
