"""Reads a range of offsets of one partition once."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from red_common.kafka.connection import KafkaConnection, TopicPartition
from red_common.kafka.end_offsets import until_known
from red_common.kafka.shutdown import ended


class RangeGone(Exception):
    """Raised when Kafka no longer has the beginning of a range."""


async def beginning_of(connection: KafkaConnection, tp: TopicPartition) -> int:
    """The first offset of a partition that Kafka still has.

    Raises:
        KafkaError: Kafka cannot be reached.
    """
    async with connection.consumer(enable_auto_commit=False) as consumer:
        await until_known(consumer, [tp.topic])
        return int((await consumer.beginning_offsets([tp]))[tp])


async def read_range(
    connection: KafkaConnection, tp: TopicPartition, start: int, end: int | None
) -> list[Any]:
    """The committed records of `[start, end)` that Kafka still has; `end` None: up to the present end.

    Raises:
        KafkaError: Kafka cannot be reached.
    """
    async with aclosing(read_in_steps(connection, tp, start, end)) as steps:
        return [record async for batch in steps for record in batch]


async def read_in_steps(
    connection: KafkaConnection,
    tp: TopicPartition,
    start: int,
    end: int | None,
    most: int | None = None,
    *,
    whole: bool = False,
) -> AsyncGenerator[list[Any], None]:
    """The records of `read_range`, at most `most` at a time.

    Raises:
        KafkaError: Kafka cannot be reached.
        RangeGone: it has to be `whole`, and Kafka no longer has its beginning.
    """
    consumer = connection.consumer(
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="none",  # what retention takes meanwhile is an error, and not the end of the range
        fetch_max_wait_ms=100,
    )
    await consumer.start()
    try:
        await until_known(consumer, [tp.topic])
        consumer.assign([tp])
        if end is None:
            end = int((await consumer.end_offsets([tp]))[tp])
        beginnings: Mapping[TopicPartition, int] = await consumer.beginning_offsets([tp])
        if whole and start < beginnings[tp]:
            raise RangeGone(f"{tp.topic}/{tp.partition} begins at {beginnings[tp]}, behind {start}")
        consumer.seek(tp, max(start, beginnings[tp]))
        while await consumer.position(tp) < end:
            for records in (await consumer.getmany(timeout_ms=200, max_records=most)).values():
                wanted = [record for record in records if record.offset < end]
                if wanted:
                    yield wanted
                if len(wanted) < len(records):
                    return
    finally:
        await ended(consumer.stop())
