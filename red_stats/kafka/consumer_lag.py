"""How far each role is behind its topics, by the offsets its consumer group has committed.

Committed are hints (the marks decide), a few seconds old at most; what lies between them and the
end is counted record by record while it is little, since offsets have holes.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import Final, NamedTuple, get_args

from red_common.kafka.connection import KafkaConnection, TopicPartition
from red_stats import topics
from red_stats.kafka.range_reader import read_in_steps

ROLES: Final = get_args(topics.Role)
COUNTED: Final = 2_000  # offsets behind below which records are counted


class Lag(NamedTuple):
    """One partition of one role: records to go, and how old (s) the first of them is."""

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
    """Every partition of every source topic.

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
    """Records of `[at, end)`, and the Kafka time (ms) of the first."""
    if at >= end:
        return 0, None
    is_little, count, oldest = end - at <= COUNTED, 0, None
    async with aclosing(read_in_steps(connection, tp, at, end, COUNTED if is_little else 1)) as steps:
        async for records in steps:
            count += len(records)
            oldest = records[0].timestamp if oldest is None else oldest
            if not is_little:
                return end - records[0].offset, oldest
    return count, oldest
