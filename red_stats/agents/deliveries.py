"""Alerts and tasks -> pending deliveries; outcomes and changes of subscriptions -> their transitions."""

from collections.abc import Callable, Iterable, Sequence, Set
from functools import partial
from typing import Any, NamedTuple

import orjson

from red_common.events import InvalidEvent
from red_stats import metrics, topics
from red_stats.domain import deliveries
from red_stats.domain.alerts import uuid5
from red_stats.domain.dead_letters import dead_letter
from red_stats.domain.deliveries import Row, Transition
from red_stats.domain.delivery_kinds import BY_TOPIC, kind_of
from red_stats.domain.record_batches import Out, PartitionBatch
from red_stats.domain.retries import Outcome, verdict
from red_stats.domain.subscriptions import Subscription
from red_stats.tables.deliver import DeliverTables
from red_stats.tables.partition_state import Effects, Mark, PartitionState, PartitionStates
from red_stats.tables.pending_deliveries import PendingRows


class Attempted(NamedTuple):
    """A POST has ended; `attempt` is its number, `version` the subscription's it was sent for."""

    row: Row
    attempt: int
    at: int
    outcome: Outcome
    version: int
    jitter: float


class SubscriptionChanged(NamedTuple):
    """What the state of a subscription means for its waiting rows; None: it was deleted."""

    subscription_id: str
    subscription: Subscription | None
    at: int


class Expire(NamedTuple):
    """Rows that waited behind a failing endpoint for too long end."""

    subscription_id: str
    at: int


News = Attempted | SubscriptionChanged | Expire


async def enqueue_deliveries(
    batch: PartitionBatch,
    *,
    states: PartitionStates[DeliverTables],
    begin: Callable[[int, Iterable[Row]], None],
    push: Callable[[int, Iterable[Row]], None],
) -> bool:
    """Take one batch of `red.alerts` or `red.delivery-tasks` over.

    Committed together: a pending row and its first event for each, dead letters, and the mark,
    which makes a second delivery a no-op. No HTTP happens here: the row is the promise. What can
    go out at once is begun while the transaction is under way: should it never commit, the alert
    is read and sent again under the same webhook-id, as after a crash behind the POST.
    """
    read = BY_TOPIC[batch.topic].read

    async def build(state: PartitionState[DeliverTables]) -> Effects | None:
        mark = state.mark(batch.topic)
        if batch.last_offset <= mark.offset:
            return None
        rows: list[Row] = []
        letters: list[Out] = []
        for record in batch.records:
            if record.offset <= mark.offset:
                continue
            try:
                rows.append(read(record.key, record.value, record.timestamp))
            except InvalidEvent as error:
                letter = dead_letter(batch.topic, batch.partition, record, str(error))
                letters.append((topics.DEAD_LETTERS, record.key, letter))
        transitions = [deliveries.enqueued(row) for row in rows]
        records = [
            out
            for row, transition in zip(rows, transitions, strict=True)
            for out in _outs(states.changelogs["pending"], row, transition)
        ]

        def apply() -> None:
            _apply(state, zip(rows, transitions, strict=True))
            metrics.DEAD_LETTERS.labels(batch.topic).inc(len(letters))
            push(batch.partition, rows)

        last = Mark(batch.last_offset, batch.records[-1].timestamp)
        return Effects(records + letters, {batch.topic: last}, apply, partial(begin, batch.partition, rows))

    return await states.transact(batch.partition, build, generation=batch.generation)


async def settle(
    partition: int,
    news: Sequence[News],
    in_flight: Set[str],
    push: Callable[[int, Iterable[Row]], None],
    *,
    states: PartitionStates[DeliverTables],
    schedule: Sequence[float],
) -> bool:
    """Move rows on; everything that arrived together in one transaction.

    A result counts only if it is the attempt after the row's last, so a second one (of a worker
    that was paused, or of a transaction that had been committed after all) changes nothing. Rows
    `in_flight` are left to their POST.
    """

    async def build(state: PartitionState[DeliverTables]) -> Effects | None:
        table = state.tables.pending
        changed: dict[str, Row | None] = {}
        moves: list[tuple[Row, Transition]] = []
        commands: list[Out] = []
        for item in news:
            for row, transition in _transitions(item, table, changed, schedule, in_flight):
                changed[row.id] = transition.row
                moves.append((row, transition))
                if isinstance(item, Attempted) and verdict(item.outcome) == "gone" and transition.row:
                    commands.append(_disable(row, item.version))
        if not moves:
            return None
        records = [
            out for row, transition in moves for out in _outs(states.changelogs["pending"], row, transition)
        ]

        def apply() -> None:
            _apply(state, moves)
            push(partition, [row for row in changed.values() if row is not None])

        return Effects(records + commands, {}, apply)

    return await states.transact(partition, build)


def _transitions(
    item: News,
    table: PendingRows,
    changed: dict[str, Row | None],
    schedule: Sequence[float],
    in_flight: Set[str],
) -> Iterable[tuple[Row, Transition]]:
    if isinstance(item, Attempted):
        row = _now(item.row.id, table, changed)
        if row is not None and row.attempt + 1 == item.attempt:
            yield (
                row,
                deliveries.attempted(
                    row, item.outcome, item.at, schedule, item.jitter, retried=kind_of(row).retried
                ),
            )
        return
    for delivery_id in list(table.of.get(item.subscription_id, ())):
        row = _now(delivery_id, table, changed)
        if row is None or delivery_id in in_flight:
            continue
        if isinstance(item, Expire):
            transition = deliveries.expired(row, item.at, schedule)
        else:
            transition = deliveries.on_subscription_changed(row, item.subscription, item.at)
        if transition is not None:
            yield row, transition


def _now(delivery_id: str, table: PendingRows, changed: dict[str, Row | None]) -> Row | None:
    return changed[delivery_id] if delivery_id in changed else table.get(delivery_id)


def _outs(changelog: str, row: Row, transition: Transition) -> tuple[Out, Out]:
    value = None if transition.row is None else deliveries.encode(transition.row)
    return (
        (changelog, row.id.encode(), value),
        (topics.DELIVERIES, row.client_id.encode(), transition.event),
    )


def _apply(state: PartitionState[DeliverTables], moves: Iterable[tuple[Row, Transition]]) -> None:
    table = state.tables.pending
    for row, transition in moves:
        table.put(row.id, transition.row)


def _disable(row: Row, version: int) -> Out:
    """410 becomes a command; its id names the version, so a second 410 is answered like the first."""
    fields: dict[str, Any] = {
        "command": "disable",
        "command_id": uuid5(b"gone" * 4, f"{row.subscription_id}/{version}"),
        "client_id": row.client_id,
        "subscription_id": row.subscription_id,
        "reason": "gone",
        "if_version": version,
    }
    return (topics.SUBSCRIPTION_COMMANDS, row.client_id.encode(), orjson.dumps(fields))
