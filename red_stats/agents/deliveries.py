"""Alerts and tasks -> pending deliveries; results of POSTs and changes of subscriptions -> their turns."""

from collections.abc import Callable, Iterable, Sequence, Set
from typing import Any, NamedTuple

import orjson

from red_common.events import InvalidEvent
from red_stats import metrics, topics
from red_stats.domain import deliveries
from red_stats.domain.alerts import uuid5
from red_stats.domain.dead_letters import dead_letter
from red_stats.domain.deliveries import Row, Turn
from red_stats.domain.record_batches import Batch, Out
from red_stats.domain.retries import Outcome, verdict
from red_stats.domain.subscriptions import Subscription
from red_stats.tables.partition_state import Effects, Mark, Owned, Ownership
from red_stats.tables.pending_deliveries import PendingRows

READERS: dict[str, Callable[[bytes | None, bytes | None, int], Row]] = {
    topics.ALERTS: deliveries.of_alert,
    topics.DELIVERY_TASKS: deliveries.of_task,
}


class Posted(NamedTuple):
    """A POST has ended; `attempt` is its number, `version` the subscription's it was sent for."""

    row: Row
    attempt: int
    at: int
    outcome: Outcome
    version: int
    jitter: float


class Steer(NamedTuple):
    """The state of a subscription asks for turns of its waiting rows; None: it was deleted."""

    subscription_id: str
    subscription: Subscription | None
    at: int


class Expire(NamedTuple):
    """Rows that waited behind a failing endpoint for too long end."""

    subscription_id: str
    at: int


News = Posted | Steer | Expire


async def enqueue_deliveries(
    batch: Batch,
    *,
    ownership: Ownership,
    begin: Callable[[int, Iterable[Row]], None],
    push: Callable[[int, Iterable[Row]], None],
) -> bool:
    """Take one batch of `red.alerts` or `red.delivery-tasks` over.

    Committed together: a pending row and its first event for each, dead letters, and the mark,
    which makes a second delivery a no-op. No HTTP happens here: the row is the promise. What can
    go out at once is begun while the transaction is under way: should it never commit, the alert
    is read and sent again under the same webhook-id, as after a crash behind the POST.
    """
    read = READERS[batch.topic]
    begun = False

    async def build(owned: Owned) -> Effects | None:
        nonlocal begun
        mark = owned.mark(batch.topic)
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
        turns = [deliveries.enqueued(row) for row in rows]
        records = [out for row, turn in zip(rows, turns, strict=True) for out in _outs(row, turn)]
        if not begun:  # once, whatever becomes of the first transaction
            begun = True
            begin(batch.partition, rows)

        def apply() -> None:
            _apply(owned, zip(rows, turns, strict=True))
            metrics.DEAD_LETTERS.labels(batch.topic).inc(len(letters))
            push(batch.partition, rows)

        last = Mark(batch.last_offset, batch.records[-1].timestamp)
        return Effects(records + letters, {batch.topic: last}, apply)

    return await ownership.transact(batch.partition, build, generation=batch.generation)


async def settle(
    partition: int,
    news: Sequence[News],
    in_flight: Set[str],
    push: Callable[[int, Iterable[Row]], None],
    *,
    ownership: Ownership,
    schedule: Sequence[float],
) -> bool:
    """Give rows their turns; everything that arrived together in one transaction.

    A result counts only if it is the attempt after the row's last, so a second one (of a worker
    that was paused, or of a transaction that had been committed after all) changes nothing. Rows
    `in_flight` are left to their POST.
    """

    async def build(owned: Owned) -> Effects | None:
        table: PendingRows = owned.rows["pending"]
        changed: dict[str, Row | None] = {}
        told: list[tuple[Row, Turn]] = []
        commands: list[Out] = []
        for item in news:
            for row, turn in _turns(item, table, changed, schedule, in_flight):
                changed[row.id] = turn.row
                told.append((row, turn))
                if isinstance(item, Posted) and verdict(item.outcome) == "gone" and turn.row:
                    commands.append(_disable(row, item.version))
        if not told:
            return None
        records = [out for row, turn in told for out in _outs(row, turn)]

        def apply() -> None:
            _apply(owned, told)
            push(partition, [row for row in changed.values() if row is not None])

        return Effects(records + commands, {}, apply)

    return await ownership.transact(partition, build)


def _turns(
    item: News,
    table: PendingRows,
    changed: dict[str, Row | None],
    schedule: Sequence[float],
    in_flight: Set[str],
) -> Iterable[tuple[Row, Turn]]:
    if isinstance(item, Posted):
        row = _now(item.row.id, table, changed)
        if row is not None and row.attempt + 1 == item.attempt:
            yield row, deliveries.attempted(row, item.outcome, item.at, schedule, item.jitter)
        return
    for delivery_id in list(table.of.get(item.subscription_id, ())):
        row = _now(delivery_id, table, changed)
        if row is None or delivery_id in in_flight:
            continue
        if isinstance(item, Expire):
            turn = deliveries.expired(row, item.at, schedule)
        else:
            turn = deliveries.steered(row, item.subscription, item.at)
        if turn is not None:
            yield row, turn


def _now(delivery_id: str, table: PendingRows, changed: dict[str, Row | None]) -> Row | None:
    return changed[delivery_id] if delivery_id in changed else table.get(delivery_id)


def _outs(row: Row, turn: Turn) -> tuple[Out, Out]:
    value = None if turn.row is None else deliveries.encode(turn.row)
    return (
        (topics.PENDING_CHANGELOG, row.id.encode(), value),
        (topics.DELIVERIES, row.client_id.encode(), turn.event),
    )


def _apply(owned: Owned, told: Iterable[tuple[Row, Turn]]) -> None:
    table: PendingRows = owned.rows["pending"]
    for row, turn in told:
        table.put(row.id, turn.row)


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
