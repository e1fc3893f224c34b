"""Outcomes of POSTs, changes of subscriptions and times that come -> transitions of deliveries."""

import asyncio
from collections.abc import Callable, Iterable, Sequence, Set

from red_stats import metrics, topics
from red_stats.agents import backlogs
from red_stats.agents.digests import Find, Intervals, rows_of
from red_stats.agents.endpoints import Endpoints
from red_stats.agents.updates import (
    Attempted,
    ClientErased,
    DigestsDue,
    Expire,
    ProbesDue,
    SubscriptionChanged,
    Update,
)
from red_stats.domain import deliveries
from red_stats.domain.deliveries import Row, Transition
from red_stats.domain.delivery_kinds import kind_of, may_go
from red_stats.domain.erasure import ErasedOf, never
from red_stats.domain.failing_endpoints import HealthRules
from red_stats.domain.record_batches import Out
from red_stats.domain.subscriptions import Subscription
from red_stats.tables.deliver import DeliverTables
from red_stats.tables.endpoint_rows import encode
from red_stats.tables.partition_state import Effects, PartitionState, PartitionStates
from red_stats.tables.pending_deliveries import PendingRows
from red_stats.tables.proven_endpoints import ProvenEndpoint, ProvenEndpoints


async def settle(
    partition: int,
    updates: Sequence[Update],
    in_flight: Set[str],
    push: Callable[[int, Iterable[Row]], None],
    *,
    states: PartitionStates[DeliverTables],
    schedule: Sequence[float],
    find: Find,
    rules: HealthRules,
    subscriptions_of: Callable[[str], Iterable[Subscription]],
    erased_of: ErasedOf = never,
) -> bool:
    """Commit the transitions that updates cause, all of them in one transaction.

    An outcome counts only for the attempt after the row's last one, so a second one (from a worker that
    was paused, or after a transaction that had been committed after all) changes nothing. Rows in
    `in_flight` (delivery ids) change only by their own outcome; those that have been erased end whatever
    happens to them, without an event. Digests that can be made now are, each once: what waited for it leaves
    its table with it. So are probes of disabled endpoints, and notices: a change of an endpoint's health is
    committed with its row, and told once. `push` gets the rows that go on, which may be none.

    Returns:
        False when the partition is not held.
    """
    decided: set[str] = set()  # also by transactions whose outcome was unknown: those go on, too

    async def build(state: PartitionState[DeliverTables]) -> Effects | None:
        table = state.tables.pending
        changed: dict[str, Row | None] = {}
        transitions: list[tuple[Row, Transition]] = []
        proven = dict(_proven(updates, state.tables.proven, erased_of))
        waiting = dict.fromkeys(_erased_backlogs(updates, state.tables))
        intervals = Intervals(state.tables, find, changed)
        endpoints = Endpoints(state.tables, rules, subscriptions_of)
        for update in updates:
            if not isinstance(update, Attempted):  # it may be about thousands of rows
                await asyncio.sleep(0)
            for row, decided_one in _transitions(update, table, changed, schedule, in_flight, erased_of):
                transition = deliveries.ERASED if is_erased(row, erased_of) else decided_one
                changed[row.id] = transition.row
                transitions.append((row, transition))
                if isinstance(update, Attempted) and transition is not deliveries.ERASED:
                    endpoints.attempted(update, is_held=transition.row is not None)
            _note(update, endpoints, state.tables)
        made, ended = _digests(updates, state.tables, intervals, erased_of)
        made += [row for row in endpoints.made if not is_erased(row, erased_of)]
        transitions = [*((row, deliveries.enqueued(row)) for row in made), *transitions]
        decided.update(row.id for row, _ in transitions)
        of_digests = intervals.records(states.changelogs["digests"])
        of_endpoints = endpoints.records(states.changelogs["failing"])

        def go_on() -> None:
            push(partition, [row for name in decided if (row := table.get(name)) is not None])

        if not (transitions or proven or waiting or of_digests or of_endpoints):
            go_on()
            return None
        of_proven: list[Out] = [(states.changelogs["proven"], *changed_row) for changed_row in proven.items()]
        records = of_proven + backlogs.records_of(states.changelogs["backlogs"], waiting)
        records += of_digests + of_endpoints + endpoints.events(erased_of)
        for row, at in ended:
            records += events_of(row, deliveries.enqueued(row))
            records += events_of(row, deliveries.cancelled(row, at))
        records += [
            record
            for row, transition in transitions
            for record in _records(states.changelogs["pending"], row, transition)
        ]

        def apply() -> None:
            state.tables.digests.apply(of_digests)
            for row, transition in transitions:
                table.put(row.id, transition.row)
            state.tables.proven.apply(of_proven)
            state.tables.failing.apply(of_endpoints)
            for change in endpoints.changes:
                metrics.ENDPOINT_CHANGES.labels(change.state).inc()
            backlogs.apply(state.tables, waiting)
            go_on()

        return Effects(records + endpoints.commands, {}, apply)

    return await states.transact(partition, build)


def _note(update: Update, endpoints: Endpoints, tables: DeliverTables) -> None:
    """Tell the table of failing endpoints of what is no attempt."""
    if isinstance(update, SubscriptionChanged):
        endpoints.changed(update)
    elif isinstance(update, ProbesDue):
        endpoints.probe(update.at)
    elif isinstance(update, ClientErased):
        for name in tables.failing.of.get(update.client_id, set()) - update.subscriptions:
            endpoints.drop(name)


def _digests(
    updates: Sequence[Update], tables: DeliverTables, intervals: Intervals, erased_of: ErasedOf
) -> tuple[list[Row], list[tuple[Row, int]]]:
    """The digests that updates have made, and those that end at once, with the time; none that is erased."""
    made: list[Row | None] = []
    ended: list[tuple[Row, int]] = []
    for update in updates:
        if isinstance(update, DigestsDue):
            made += [
                intervals.close(name, tables.digests[name].end) for name in tables.digests.due(update.at)
            ]
        elif isinstance(update, ClientErased):
            for name in tables.digests.of.get(update.client_id, ()):
                if name not in update.subscriptions:
                    intervals.drop(name)
        elif isinstance(update, SubscriptionChanged) and update.subscription is None:
            digest = intervals.end(update.subscription_id, update.at)
            ended += [(digest, update.at)] if digest is not None else []
        elif not isinstance(update, ProbesDue):  # it may be enabled now, or have room
            name = update.row.subscription_id if isinstance(update, Attempted) else update.subscription_id
            made.append(intervals.go_on(name, update.at))
    return (
        [row for row in rows_of(made) if not is_erased(row, erased_of)],
        [(row, at) for row, at in ended if not is_erased(row, erased_of)],
    )


def is_erased(row: Row, erased_of: ErasedOf) -> bool:
    """Whether a delivery belongs to what has been erased of its client."""
    return erased_of(row.client_id).holds_delivery(row.position, row.since)


def _erased_backlogs(updates: Sequence[Update], tables: DeliverTables) -> Iterable[str]:
    kept = {update.client_id: update.subscriptions for update in updates if isinstance(update, ClientErased)}
    for name, backlog in tables.backlogs.items():
        if backlog.client_id in kept and name not in kept[backlog.client_id]:
            yield name


def _proven(
    updates: Sequence[Update], table: ProvenEndpoints, erased_of: ErasedOf
) -> Iterable[tuple[bytes, bytes | None]]:
    """The rows of the table of proven endpoints that updates change."""
    for update in updates:
        if isinstance(update, Attempted) and update.proves and not is_erased(update.row, erased_of):
            endpoint = ProvenEndpoint(update.row.client_id, deliveries.url_mark(update.url))
            yield update.row.subscription_id.encode(), encode(endpoint)
        elif isinstance(update, SubscriptionChanged):
            is_gone = update.subscription is None
            if is_gone and update.subscription_id in table:
                yield update.subscription_id.encode(), None
        elif isinstance(update, ClientErased):
            for name in table.of.get(update.client_id, set()) - update.subscriptions:
                yield name.encode(), None


def _transitions(
    update: Update,
    table: PendingRows,
    changed: dict[str, Row | None],
    schedule: Sequence[float],
    in_flight: Set[str],
    erased_of: ErasedOf,
) -> Iterable[tuple[Row, Transition]]:
    if isinstance(update, DigestsDue | ProbesDue):
        return
    if isinstance(update, ClientErased):
        for gone in [one for one in table.values() if one.client_id == update.client_id]:
            if is_erased(gone, erased_of) and _current(gone.id, table, changed) is not None:
                yield gone, deliveries.ERASED
        return
    if isinstance(update, Attempted):
        row = _current(update.row.id, table, changed)
        if row is not None and row.attempt + 1 == update.attempt:
            yield (
                row,
                deliveries.attempted(
                    row,
                    update.outcome,
                    update.at,
                    schedule,
                    update.jitter,
                    url=update.url,
                    is_probe=update.is_probe,
                    retried=kind_of(row).retried,
                ),
            )
        return
    for delivery_id in list(table.of.get(update.subscription_id, ())):
        row = _current(delivery_id, table, changed)
        if row is None or delivery_id in in_flight:
            continue
        if isinstance(update, Expire):
            transition = deliveries.expired(row, update.at, schedule)
        else:
            transition = _on_changed(row, update.subscription, update.at)
        if transition is not None:
            yield row, transition


def _on_changed(row: Row, subscription: Subscription | None, at: int) -> Transition | None:
    if subscription is None or not kind_of(row).though_disabled:
        return deliveries.on_subscription_changed(row, subscription, at)
    return None if may_go(row, subscription) else deliveries.cancelled(row, at)


def _current(delivery_id: str, table: PendingRows, changed: dict[str, Row | None]) -> Row | None:
    return changed[delivery_id] if delivery_id in changed else table.get(delivery_id)


def _records(changelog: str, row: Row, transition: Transition) -> list[Out]:
    value = None if transition.row is None else deliveries.encode(transition.row)
    return [(changelog, row.id.encode(), value), *events_of(row, transition)]


def events_of(row: Row, transition: Transition) -> list[Out]:
    """The record of a transition on red.deliveries; none of what has been erased."""
    if transition.event is None:
        return []
    return [(topics.DELIVERIES, row.client_id.encode(), transition.event)]
