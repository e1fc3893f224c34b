"""Alerts and tasks -> pending deliveries; outcomes and subscription changes -> their transitions."""

from collections.abc import Callable, Iterable, Sequence, Set
from functools import partial
from typing import Any, NamedTuple

import orjson

from red_common.events import InvalidEvent
from red_stats import metrics, topics
from red_stats.agents import backlogs
from red_stats.domain import deliveries
from red_stats.domain.alerts import uuid5
from red_stats.domain.backlogs import Limits
from red_stats.domain.dead_letters import dead_letter
from red_stats.domain.deliveries import Row, Transition
from red_stats.domain.delivery_kinds import BY_TOPIC, kind_of
from red_stats.domain.record_batches import Out, PartitionBatch
from red_stats.domain.retries import Outcome, verdict
from red_stats.domain.subscriptions import Subscription
from red_stats.tables import proven_endpoints
from red_stats.tables.deliver import DeliverTables
from red_stats.tables.partition_state import Effects, Mark, PartitionState, PartitionStates
from red_stats.tables.pending_deliveries import PendingRows
from red_stats.tables.proven_endpoints import ProvenEndpoint, ProvenEndpoints


class Attempted(NamedTuple):
    """A POST that has ended.

    `attempt` is its number (from 1), `at` when it began (ms since 1970), `version` and `url` those of the
    subscription it was sent for, `jitter` in 0..1; a probe was sent before the row was due. `proves`: the
    endpoint has just proven its consent.
    """

    row: Row
    attempt: int
    at: int
    outcome: Outcome
    version: int
    jitter: float
    url: str
    is_probe: bool = False
    proves: bool = False


class SubscriptionChanged(NamedTuple):
    """A subscription has changed, at `at` (ms since 1970); None: it was deleted."""

    subscription_id: str
    subscription: Subscription | None
    at: int


class Expire(NamedTuple):
    """An endpoint fails: rows that have waited for it too long at `at` (ms since 1970) end."""

    subscription_id: str
    at: int


Update = Attempted | SubscriptionChanged | Expire


async def enqueue_deliveries(
    batch: PartitionBatch,
    *,
    states: PartitionStates[DeliverTables],
    begin: Callable[[int, Iterable[Row]], None],
    push: Callable[[int, Iterable[Row]], None],
    limits: Limits,
) -> bool:
    """Make deliveries of one batch of `red.alerts` or `red.delivery-tasks`.

    Committed together: the first event and a pending row for each record, dead letters, and the mark. An
    alert whose endpoint or client has too many rows joins the backlog of its subscription instead. A
    record at or below the mark is skipped, so a second delivery changes nothing. No HTTP happens here: the
    row is the promise. A POST that can go out at once begins while the transaction is under way; if that
    is never committed, the record is read and sent again under the same webhook-id, as after a crash
    behind the POST.

    Args:
        batch: what fetches brought for one partition.
        states: the partitions that role deliver holds.
        begin: (partition, rows) starts the POSTs that can go out at once.
        push: (partition, rows) queues the rows, after the commit.
        limits: how many deliveries have rows.

    Returns:
        Whether the batch may be acknowledged; False when the partition is no longer held.
    """
    read = BY_TOPIC[batch.topic].read
    rows: list[Row] = []

    async def build(state: PartitionState[DeliverTables]) -> Effects | None:
        mark = state.mark(batch.topic)
        if batch.last_offset <= mark.offset:
            push(batch.partition, [row for row in rows if state.tables.pending.get(row.id) is not None])
            return None  # rows: a transaction whose outcome was unknown had been committed after all
        rows.clear()
        read_rows: list[tuple[int, Row]] = []
        letters: list[Out] = []
        for record in batch.records:
            if record.offset <= mark.offset:
                continue
            try:
                read_rows.append((record.offset, read(record.key, record.value, record.timestamp)))
            except InvalidEvent as error:
                letters.append(dead_letter(batch.topic, batch.partition, record, str(error)))
        kept, waiting = backlogs.divided(read_rows, state.tables, limits)
        rows.extend(kept)
        records: list[Out] = [_event_of(row, deliveries.enqueued(row)) for _, row in read_rows]
        records += [(states.changelogs["pending"], row.id.encode(), deliveries.encode(row)) for row in rows]
        records += backlogs.records_of(states.changelogs["backlogs"], waiting)

        def apply() -> None:
            for row in rows:
                state.tables.pending.put(row.id, row)
            backlogs.apply(state.tables, waiting)
            metrics.DEAD_LETTERS.labels(batch.topic).inc(len(letters))
            push(batch.partition, rows)

        last = Mark(batch.last_offset, batch.records[-1].timestamp)
        return Effects(records + letters, {batch.topic: last}, apply, partial(begin, batch.partition, rows))

    return await states.transact(batch.partition, build, generation=batch.generation)


async def settle(
    partition: int,
    updates: Sequence[Update],
    in_flight: Set[str],
    push: Callable[[int, Iterable[Row]], None],
    *,
    states: PartitionStates[DeliverTables],
    schedule: Sequence[float],
) -> bool:
    """Commit the transitions that updates cause, all of them in one transaction.

    An outcome counts only for the attempt after the row's last one, so a second one (from a worker that
    was paused, or after a transaction that had been committed after all) changes nothing. Rows in
    `in_flight` (delivery ids) change only by their own outcome. `push` gets the rows that go on, which may
    be none.

    Returns:
        False when the partition is not held.
    """
    decided: set[str] = set()  # also by transactions whose outcome was unknown: those go on, too

    async def build(state: PartitionState[DeliverTables]) -> Effects | None:
        table = state.tables.pending
        changed: dict[str, Row | None] = {}
        transitions: list[tuple[Row, Transition]] = []
        commands: list[Out] = []
        proven = dict(_proven(updates, state.tables.proven))
        for update in updates:
            for row, transition in _transitions(update, table, changed, schedule, in_flight):
                changed[row.id] = transition.row
                transitions.append((row, transition))
                if isinstance(update, Attempted) and verdict(update.outcome) == "gone" and transition.row:
                    commands.append(_disable(row, update.version))
        decided.update(changed)

        def go_on() -> None:
            push(partition, [row for name in decided if (row := table.get(name)) is not None])

        if not transitions and not proven:
            go_on()
            return None
        records: list[Out] = [(states.changelogs["proven"], name, value) for name, value in proven.items()]
        records += [
            record
            for row, transition in transitions
            for record in _records(states.changelogs["pending"], row, transition)
        ]

        def apply() -> None:
            _apply(state, transitions)
            for name, value in proven.items():
                state.tables.proven.load(name, value)
            go_on()

        return Effects(records + commands, {}, apply)

    return await states.transact(partition, build)


def _proven(updates: Sequence[Update], table: ProvenEndpoints) -> Iterable[tuple[bytes, bytes | None]]:
    """The rows of the table of proven endpoints that updates change."""
    for update in updates:
        if isinstance(update, Attempted) and update.proves:
            endpoint = ProvenEndpoint(update.row.client_id, deliveries.url_mark(update.url))
            yield update.row.subscription_id.encode(), proven_endpoints.encode(endpoint)
        elif isinstance(update, SubscriptionChanged):
            is_gone = update.subscription is None
            if is_gone and update.subscription_id in table:
                yield update.subscription_id.encode(), None


def _transitions(
    update: Update,
    table: PendingRows,
    changed: dict[str, Row | None],
    schedule: Sequence[float],
    in_flight: Set[str],
) -> Iterable[tuple[Row, Transition]]:
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
            transition = deliveries.on_subscription_changed(row, update.subscription, update.at)
        if transition is not None:
            yield row, transition


def _current(delivery_id: str, table: PendingRows, changed: dict[str, Row | None]) -> Row | None:
    return changed[delivery_id] if delivery_id in changed else table.get(delivery_id)


def _records(changelog: str, row: Row, transition: Transition) -> tuple[Out, Out]:
    value = None if transition.row is None else deliveries.encode(transition.row)
    return (changelog, row.id.encode(), value), _event_of(row, transition)


def _event_of(row: Row, transition: Transition) -> Out:
    return (topics.DELIVERIES, row.client_id.encode(), transition.event)


def _apply(state: PartitionState[DeliverTables], transitions: Iterable[tuple[Row, Transition]]) -> None:
    table = state.tables.pending
    for row, transition in transitions:
        table.put(row.id, transition.row)


def _disable(row: Row, version: int) -> Out:
    """The command that a 410 causes; its id names the version, so a second 410 gets the same answer."""
    fields: dict[str, Any] = {
        "command": "disable",
        "command_id": uuid5(b"gone" * 4, f"{row.subscription_id}/{version}"),
        "client_id": row.client_id,
        "subscription_id": row.subscription_id,
        "reason": "gone",
        "if_version": version,
    }
    return (topics.SUBSCRIPTION_COMMANDS, row.client_id.encode(), orjson.dumps(fields))
