"""How far each role is behind its topics, by the committed offsets of its consumer group.

Committed offsets are only hints (the marks decide) and a few seconds old. Offsets have holes, so records
between them and the end are counted one by one as long as they are few.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import Final, NamedTuple, get_args

from red_common.kafka.connection import KafkaConnection, TopicPartition
from red_stats import topics
from red_stats.kafka.range_reader import read_in_steps

ROLES: Final = get_args(topics.Role)
COUNTED: Final = 2_000  # up to so many offsets, records are counted one by one


class Lag(NamedTuple):
    """One partition of one role: records it has not processed, and the age (s) of the first of them."""

    role: str
    topic: str
    partition: int
    committed: int
    end: int
    records: int
    seconds: float


async def lag_of(
    connection: KafkaConnection,
    partitions: int,
    roles: Sequence[str] = ROLES,
    now: Callable[[], float] = time.time,
) -> list[Lag]:
    """The lag of each partition of every source topic of the roles; `now` is in seconds since 1970.

    Raises:
        KafkaError: Kafka cannot be reached.
    """
    found = []
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
                ends = await consumer.end_offsets(tps)
                starts = await consumer.beginning_offsets(tps)
                for tp in tps:
                    known = committed.get(tp)
                    at = max(starts[tp], known.offset if known is not None else 0)
                    records, oldest = await _behind(connection, tp, at, ends[tp])
                    seconds = 0.0 if oldest is None else max(0.0, now() - oldest / 1000)
                    found.append(Lag(role, tp.topic, tp.partition, at, ends[tp], records, round(seconds, 3)))
    finally:
        await admin.close()
    return found


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
