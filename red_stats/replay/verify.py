"""One run of `verify`: reads the log itself and compares it with everything folded from it.

The ends are noted, every role is waited for, then offsets in the log are compared with those in
ClickHouse, live's windows with the log folded to live's mark, and per subscription version the
alerts implied with those sent and what became of each.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from red_common.kafka.connection import KafkaConnection, TopicPartition
from red_stats import topics
from red_stats.domain import windows
from red_stats.domain.expected_state import ExpectedAlerts, History, difference
from red_stats.domain.windows import Window
from red_stats.kafka.changelog_loader import read_to_end
from red_stats.replay.partition_log import PartitionLog
from red_stats.replay.verify_alerts import SentAlerts, counted, differences_of
from red_stats.replay.verify_scope import Scope
from red_stats.replay.verify_waits import Waiting
from red_stats.settings import Settings
from red_stats.store import queries
from red_stats.store.queries import Queries
from red_stats.tables.declarations import MARK_PREFIX
from red_stats.tables.partition_state import Mark, decode_mark
from red_stats.tables.windows import WindowRows

Found = dict[str, Any] | None


class _Live:
    """Live's windows of one partition as the changelog tells, at one mark."""

    def __init__(self) -> None:
        self.rows = WindowRows()
        self.mark = Mark()

    def apply(self, record: Any) -> None:
        if not record.key.startswith(MARK_PREFIX):
            with contextlib.suppress(msgspec.MsgspecError, ValueError):  # as its owner does
                self.rows.load(record.key, record.value)
        elif record.key == MARK_PREFIX + topics.MEASUREMENTS.encode():
            self.mark = decode_mark(record.value)


async def verify(
    settings: Settings, store: Queries, scope: Scope, *, say: Callable[[str], None], stalled: float = 30.0
) -> dict[str, Any]:
    """The report; `equal` is true when there is no difference.

    Raises:
        CouldNotRun: a role lags and does not move.
        StoreError: the store cannot be asked.
        KafkaError: Kafka cannot be reached.
    """
    connection, numbers = settings.connection, range(settings.partitions)
    retention = int(settings.live_hours * 3_600_000)
    waiting = Waiting(connection, store, say, stalled)
    judges = await _judges(connection, settings.partitions)
    logs = [PartitionLog(n, settings.partitions, ExpectedAlerts(n, judges, retention)) for n in numbers]
    for log in logs:
        await log.open(connection)
    try:
        for log in logs:
            say(f"reading {topics.MEASUREMENTS}/{log.number}: {log.end - log.beginning} offsets")
            await log.read(scope)
        ends = {log.number: log.last for log in logs}
        await waiting.folded("live", topics.WINDOWS_CHANGELOG, topics.MEASUREMENTS, ends)
        live = await _live(connection, settings.partitions)
        for log in logs:
            await log.read_on(live[log.number].mark.offset)
    finally:
        for log in logs:
            await log.close()
    await waiting.recorded("measurements", ends)
    stored = [await _stored(store, log, scope) for log in logs]
    found: list[Found] = [
        difference("clickhouse", (log_has - rows).elements(), (rows - log_has).elements(), partition=n)
        for n, (log_has, rows) in enumerate(stored)
    ]
    compared = [_windows(log, live[log.number], scope, retention) for log in logs]
    found += [one for _, _, one in compared]
    sent = await SentAlerts.read(connection, settings.partitions, waiting)
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


async def _judges(connection: KafkaConnection, partitions: int) -> Any:
    history = History()
    appliers = {
        TopicPartition(topics.COMMAND_RESULTS, number): lambda record: history.add(record.value)
        for number in range(partitions)
    }
    await read_to_end(connection, appliers)
    return history.judges()


async def _live(connection: KafkaConnection, partitions: int) -> dict[int, _Live]:
    held = {number: _Live() for number in range(partitions)}
    appliers = {TopicPartition(topics.WINDOWS_CHANGELOG, n): live.apply for n, live in held.items()}
    await read_to_end(connection, appliers)
    return held


async def _stored(
    store: Queries, log: PartitionLog[ExpectedAlerts], scope: Scope
) -> tuple[Counter[tuple[int, int]], Counter[tuple[int, int]]]:
    """Offsets with amounts of one partition: in the log, and in the store."""
    question = queries.amounts(log.number, log.beginning, log.last, **scope._asdict())
    rows = await asyncio.to_thread(store.query, *question)
    return Counter(log.amounts.items()), Counter((int(offset), int(red_bp)) for offset, red_bp in rows)


def _windows(
    log: PartitionLog[ExpectedAlerts], live: _Live, scope: Scope, retention: int
) -> tuple[int, int, Found]:
    """Images in live's retained windows, in the log's of the same span, and how they differ."""
    horizon = live.mark.time

    def kept(client_id: str, minute: int) -> bool:
        return scope.client_id in (None, client_id) and not windows.is_expired(minute, horizon, retention)

    def retained(held: Iterable[tuple[tuple[str, int], Window]]) -> dict[tuple[str, int], Window]:
        return {place: window for place, window in held if kept(*place)}

    by_client = log.folded.windows.items()
    of_log = retained(((name, m), window) for name, held in by_client for m, window in held.items())
    of_live = retained(live.rows.items())
    missing = [f"{c} minute {m}" for (c, m), window in of_log.items() if of_live.get((c, m)) != window]
    extra = [f"{c} minute {m}" for c, m in of_live.keys() - of_log.keys()]
    counts = (sum(w.images for w in of_live.values()), sum(w.images for w in of_log.values()))
    return *counts, difference("live", missing, extra, partition=log.number)
