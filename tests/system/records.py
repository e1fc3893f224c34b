"""Records of a client, put straight onto the topics and read back."""

import asyncio
import time

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from red_common.kafka.partitioner import partition_of
from red_stats import topics
from tests.builders import a_measurement
from tests.conftest import PARTITIONS


async def measured(kafka, client_id, reds, **changes):
    """Events straight onto the topic; their positions."""
    now = int(time.time() * 1000)
    async with AIOKafkaProducer(bootstrap_servers=kafka, enable_idempotence=True) as producer:
        values = [a_measurement(client_id, value, now, **changes) for value in reds]
        sent = [await producer.send(topics.MEASUREMENTS, value, client_id.encode()) for value in values]
        done = [await future for future in sent]
    return [f"{one.partition}:{one.offset}" for one in done]


async def records(kafka, topic, client_id):
    """All committed records of a client on a topic."""
    tp = TopicPartition(topic, partition_of(client_id, PARTITIONS))
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka, isolation_level="read_committed", auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        consumer.assign([tp])
        end = (await consumer.end_offsets([tp]))[tp]
        found = []
        while await consumer.position(tp) < end:
            for batch in (await consumer.getmany(timeout_ms=200)).values():
                found += [record for record in batch if record.key == client_id.encode()]
        return found
    finally:
        await consumer.stop()


async def until_records(kafka, topic, client_id, count, seconds=60):
    async with asyncio.timeout(seconds):
        while len(found := await records(kafka, topic, client_id)) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    return found
