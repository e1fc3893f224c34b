"""Reads changelogs to their ends in bulk: a million rows in seconds, where stock recovery takes minutes."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from red_common.kafka.connection import ConsumerRecord, KafkaConnection, TopicPartition
from red_common.kafka.shutdown import ended
from red_stats.domain.record_batches import Record
from red_stats.kafka.packed_batches import PackedFetches

Apply = Callable[[ConsumerRecord], None]
Load = Callable[[Sequence[Record]], None]
Ends = dict[TopicPartition, int]

FETCH_BYTES = 8 << 20


async def read_to_end(
    connection: KafkaConnection, appliers: Mapping[TopicPartition, Apply], ends: Ends | None = None
) -> Ends:
    """Feeds every committed record of each partition to its applier, in order.

    `ends` are noted by the caller, else the committed ones are: a transaction is acknowledged
    before its markers are in every partition, so who has heard of one elsewhere notes the log's.

    Returns:
        The committed end per partition as noted before reading (one past the last offset).

    Raises:
        KafkaError: Kafka cannot be reached or a topic does not exist.
    """

    def take(tp: TopicPartition, records: Sequence[ConsumerRecord]) -> None:
        apply = appliers[tp]
        for record in records:
            apply(record)

    return await _read(connection, list(appliers), take, ends)


async def load_to_end(connection: KafkaConnection, loaders: Mapping[TopicPartition, Load]) -> Ends:
    """The same, a record batch of the log at a time: several times faster, with fewer fields.

    Raises:
        KafkaError: Kafka cannot be reached or a topic does not exist.
    """

    def take(tp: TopicPartition, steps: Sequence[Any]) -> None:
        load = loaders[tp]
        for batch in steps:
            load(batch.records)

    return await _read(connection, list(loaders), take, None, packed=True)


async def _read(
    connection: KafkaConnection,
    partitions: list[TopicPartition],
    take: Callable[[TopicPartition, Sequence[Any]], None],
    ends: Ends | None,
    *,
    packed: bool = False,
) -> Ends:
    consumer = connection.consumer(
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        fetch_max_wait_ms=100,
        max_partition_fetch_bytes=FETCH_BYTES,
    )
    await consumer.start()
    if packed:
        consumer._fetcher._records = PackedFetches(consumer._fetcher._records)
    try:
        consumer.assign(partitions)
        ends = ends or await consumer.end_offsets(partitions)
        assert ends is not None
        await consumer.seek_to_beginning(*partitions)
        open_partitions = set(partitions)
        while open_partitions:
            for tp in list(open_partitions):
                if await consumer.position(tp) >= ends[tp]:
                    open_partitions.discard(tp)
                    consumer.pause(tp)
            if not open_partitions:
                break
            for tp, found in (await consumer.getmany(timeout_ms=100)).items():
                take(tp, found)
                await asyncio.sleep(0)  # heartbeats and web views go on meanwhile
        return ends
    finally:
        await ended(consumer.stop())
