"""How far each role is behind its topics, by the committed offsets of its consumer group, and what stands.

Committed offsets are only hints (the marks decide) and a few seconds old. Offsets have holes, so records
between them and the end are counted one by one as long as they are few.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Final, NamedTuple, get_args

from red_common.kafka.connection import AdminClient, KafkaConnection, TopicPartition
from red_common.kafka.end_offsets import ends_of_logs, until_known
from red_stats import topics
from red_stats.domain.stalls import AFTER_SECONDS
from red_stats.kafka.range_reader import read_in_steps

ROLES: Final = get_args(topics.Role)
COUNTED: Final = 2_000  # up to so many offsets, records are counted one by one
COMMIT_SECONDS: Final = 6.0  # within which a worker commits what it has processed
_NOT_PROCESSED: Final = (
    "no record from offset {} on is being processed: `/health/ready` and the log of the worker tell why"
)


class Lag(NamedTuple):
    """One partition of one role: records it has not processed, and the age (s) of the first of them.

    `stalled` says why it does not move although its log does; None: it moves, or has nothing to do.
    """

    role: str
    topic: str
    partition: int
    committed: int
    end: int
    records: int
    seconds: float
    stalled: str | None = None


async def lag_of(
    connection: KafkaConnection,
    partitions: int,
    roles: Sequence[str] = ROLES,
    now: Callable[[], float] = time.time,
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> list[Lag]:
    """The lag of each partition of every source topic of the roles; `now` is in seconds since 1970.

    Where records have waited for longer than AFTER_SECONDS, it is looked again after a pause.

    Raises:
        KafkaError: Kafka cannot be reached.
    """
    found: list[Lag] = []
    admin = connection.admin()
    await admin.start()
    try:
        async with connection.consumer(
            isolation_level="read_committed", enable_auto_commit=False
        ) as consumer:
            for role in roles:
                committed = await admin.list_consumer_group_offsets(topics.group_of(role))
                tps = [
                    TopicPartition(topic, number)
                    for topic in topics.read_by(role)
                    for number in range(partitions)
                ]
                await until_known(consumer, topics.read_by(role))
                ends = await consumer.end_offsets(tps)
                starts = await consumer.beginning_offsets(tps)
                for tp in tps:
                    known = committed.get(tp)
                    at = max(starts[tp], known.offset if known is not None else 0)
                    records, oldest = await _behind(connection, tp, at, ends[tp])
                    seconds = 0.0 if oldest is None else max(0.0, now() - oldest / 1000)
                    found.append(Lag(role, tp.topic, tp.partition, at, ends[tp], records, round(seconds, 3)))
        standing = await _standing(admin, found, pause)
        held_back = await _held_back(connection, {_tp(one): one.end for one in found}, now)
    finally:
        await admin.close()
    return [one._replace(stalled=held_back.get(_tp(one)) or standing.get(one)) for one in found]


async def _standing(
    admin: AdminClient, found: Sequence[Lag], pause: Callable[[float], Awaitable[None]]
) -> dict[Lag, str]:
    """Those whose records have waited for long and are not being processed, with the likely cause."""
    late = [one for one in found if one.records and one.seconds >= AFTER_SECONDS]
    if not late:
        return {}
    await pause(COMMIT_SECONDS)
    causes: dict[Lag, str] = {}
    for role in {one.role for one in late}:
        group = topics.group_of(role)
        again = await admin.list_consumer_group_offsets(group)
        [described] = await admin.describe_consumer_groups([group])
        is_running = any(members for *_, members, _ in described.groups)
        for one in late:
            known = again.get(_tp(one))
            has_moved = known is not None and known.offset > one.committed
            if one.role == role and not has_moved:
                idle = f"no worker of role {role} runs"
                causes[one] = _NOT_PROCESSED.format(one.committed) if is_running else idle
    return causes


async def _held_back(
    connection: KafkaConnection, readable: Mapping[TopicPartition, int], now: Callable[[], float]
) -> dict[TopicPartition, str]:
    """The partitions whose records cannot be read since a transaction has been open for long."""
    ends = await ends_of_logs(connection, readable)
    causes = {}
    for tp in [tp for tp, end in ends.items() if end > readable[tp]]:
        async with connection.consumer(auto_offset_reset="earliest", fetch_max_wait_ms=100) as consumer:
            consumer.assign([tp])
            consumer.seek(tp, readable[tp])
            records = (await consumer.getmany(timeout_ms=2000, max_records=1)).get(tp)
        seconds = now() - records[0].timestamp / 1000 if records else 0.0
        if seconds >= AFTER_SECONDS:
            causes[tp] = (
                f"a transaction has been open since offset {readable[tp]} for {seconds:.0f} s: nothing from"
                f" there to offset {ends[tp]} can be read before it ends"
            )
    return causes


def _tp(one: Lag) -> TopicPartition:
    return TopicPartition(one.topic, one.partition)


async def _behind(
    connection: KafkaConnection, tp: TopicPartition, at: int, end: int
) -> tuple[int, int | None]:
    """The number of records in `[at, end)`, and the Kafka time (ms) of the first."""
    if at >= end:
        return 0, None
    are_few, count, oldest = end - at <= COUNTED, 0, None
    async with aclosing(read_in_steps(connection, tp, at, end, COUNTED if are_few else 1)) as steps:
        async for records in steps:
            count += len(records)
            oldest = records[0].timestamp if oldest is None else oldest
            if not are_few:
                return end - records[0].offset, oldest
    return count, oldest
