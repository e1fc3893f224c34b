"""`red.audit` read for operators."""

from typing import NamedTuple

import msgspec

from red_common.audit import AuditRecord
from red_common.kafka.connection import KafkaConnection, TopicPartition
from red_stats import topics
from red_stats.kafka.range_reader import read_range


class Found(NamedTuple):
    """Records, oldest first, each once; and how many others stood there that nobody can read."""

    records: list[AuditRecord]
    unreadable: int


async def acts_since(connection: KafkaConnection, since: str) -> Found:
    """What has happened since an RFC 3339 time in UTC (with three decimals) and is still in Kafka.

    Raises:
        KafkaError: Kafka cannot be reached.
    """
    found: dict[str, AuditRecord] = {}
    unreadable = 0
    for record in await read_range(connection, TopicPartition(topics.AUDIT, 0), 0, None):
        try:
            one = msgspec.json.decode(record.value or b"", type=AuditRecord)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            unreadable += 1
            continue
        if one.until >= since:
            found.setdefault(one.id, one)
    return Found(sorted(found.values(), key=lambda one: one.at), unreadable)
