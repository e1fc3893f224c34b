"""One run of `verify`: reads the log itself and compares it with everything folded from it.

The ends are noted, every role is waited for, then offsets in the log are compared with those in
ClickHouse, live's tables with the log folded to live's mark, and per subscription version the
alerts implied with those sent and what became of each.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from red_common.kafka.connection import KafkaConnection, TopicPartition
from red_stats import topics
from red_stats.domain.version_history import History
from red_stats.kafka.changelog_loader import read_to_end
from red_stats.replay.expected_state import ExpectedAlerts
from red_stats.replay.partition_log import PartitionLog
from red_stats.replay.verify_alerts import SentAlerts, counted, differences_of
from red_stats.replay.verify_scope import Scope, difference
from red_stats.replay.verify_tables import (
    HeldTables,
    read_beside,
    read_windows,
    tables_differ,
    windows_differ,
)
from red_stats.replay.verify_waits import Waiting
from red_stats.settings import Settings
from red_stats.store import daily, queries
from red_stats.store.queries import Queries

TRIES: Final = 3  # in which one seal may be inserted


async def verify(
    settings: Settings, store: Queries, scope: Scope, *, say: Callable[[str], None], stalled: float = 30.0
) -> dict[str, Any]:
    """The report; `equal` is true when there is no difference.

    Raises:
        CouldNotRun: a role lags and does not move.
        StoreError: the store cannot be asked.
        KafkaError: Kafka cannot be reached.
    """
    while True:
        history = await _history(settings.connection, settings.partitions)
        report = await _compared(
            settings, store, scope, history, Waiting(settings.connection, store, say, stalled), say
        )
        after = await _history(settings.connection, settings.partitions)
        if after.erasures == history.erasures:
            return report
        say("a client was erased meanwhile, beginning again")


async def _compared(
    settings: Settings,
    store: Queries,
    scope: Scope,
    history: History,
    waiting: Waiting,
    say: Callable[[str], None],
) -> dict[str, Any]:
    connection, numbers = settings.connection, range(settings.partitions)
    retention = int(settings.live_hours * 3_600_000)
    logs = [PartitionLog(n, settings.partitions, ExpectedAlerts(n, {}, retention)) for n in numbers]
    for log in logs:
        log.folded.use_history(history)
        await log.open(connection)
    try:
        for log in logs:
            say(f"reading {topics.MEASUREMENTS}/{log.number}: {log.end - log.beginning} offsets")
            await log.read(scope)
        ends = {log.number: log.last for log in logs}
        await waiting.folded("live", topics.WINDOWS_CHANGELOG, topics.MEASUREMENTS, ends)
        live, read_to = await read_windows(connection, settings.partitions)
        await _fold_on(connection, logs, live)
        compared = [
            windows_differ(log.number, log.folded, live[log.number], scope, retention) for log in logs
        ]
        await read_beside(connection, live, read_to)
        for log in logs:
            log.folded.note_touched()
        await _fold_on(connection, logs, live)
    finally:
        for log in logs:
            await log.close()
    await waiting.recorded("measurements", ends)
    erased = {client_id: erasure.erased for client_id, erasure in history.erasures.items()}
    await waiting.gone(erased)
    stored = [await _stored(store, log, scope) for log in logs]
    found = [
        difference("clickhouse", (log_has - rows).elements(), (rows - log_has).elements(), partition=n)
        for n, (log_has, rows) in enumerate(stored)
    ]
    found += [one for _, _, one in compared]
    found.append(await _seals(store, scope))
    for log in logs:  # rows name no client; and after truncation they include records that are gone
        if scope.client_id is None and not log.beginning:
            found += tables_differ(log.number, log.folded, live[log.number])
    sent = await SentAlerts.read(connection, settings.partitions, waiting, history.erased_of)
    sent.keep(scope.client_id, {n: live[n].mark.offset for n in numbers})
    implied = {k: v for log in logs for k, v in log.folded.alerts.items() if _is_mine(scope, log, k[0])}
    became = await sent.became(store)
    found += differences_of(implied, sent, became, await sent.recorded_twice(store))
    images = sum((log.images for log in logs), Counter())
    differences = [one for one in found if one is not None]
    return {
        "equal": not differences,
        "log": sum(len(log.amounts) for log in logs),
        "clickhouse": sum(rows.total() for _, rows in stored),
        "live": sum(count for count, _, _ in compared),
        "log_in_windows": sum(count for _, count, _ in compared),
        "subscriptions": counted(implied, sent, became),
        "repeated_image_ids": sum(count - 1 for count in images.values()),
        "differences": differences,
    }


def _is_mine(scope: Scope, log: PartitionLog[ExpectedAlerts], subscription_id: str) -> bool:
    return scope.client_id is None or log.folded.owners.get(subscription_id) == scope.client_id


async def _history(connection: KafkaConnection, partitions: int) -> History:
    history = History()
    appliers = {
        TopicPartition(topics.COMMAND_RESULTS, number): lambda record: history.add(record.value)
        for number in range(partitions)
    }
    await read_to_end(connection, appliers)
    return history


async def _fold_on(
    connection: KafkaConnection, logs: list[PartitionLog[ExpectedAlerts]], live: dict[int, HeldTables]
) -> None:
    """Fold up to live's marks, with the versions of now: those live has used are among them."""
    history = await _history(connection, len(logs))
    for log in logs:
        log.folded.use_history(history)
        await log.read_on(live[log.number].mark.offset)


async def _seals(store: Queries, scope: Scope) -> dict[str, Any] | None:
    """How the sums of big clients by day differ from the rows they are made of."""
    rows: list[tuple[Any, ...]] = []
    for _ in range(TRIES):
        rows = await asyncio.to_thread(store.query, *daily.unequal(scope.client_id))
        if not rows:
            break
    return difference("clickhouse daily", [], [f"{client_id} day {day}" for client_id, day in rows])


async def _stored(
    store: Queries, log: PartitionLog[ExpectedAlerts], scope: Scope
) -> tuple[Counter[tuple[int, int]], Counter[tuple[int, int]]]:
    """Offsets with amounts of one partition: in the log, and in the store."""
    question = queries.amounts(log.number, log.beginning, log.last, **scope._asdict())
    rows = await asyncio.to_thread(store.query, *question)
    return Counter(log.amounts.items()), Counter((int(offset), int(red_bp)) for offset, red_bp in rows)
