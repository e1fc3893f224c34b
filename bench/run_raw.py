"""The limit: a bare aiokafka consumer that decodes every event with orjson and does nothing else."""

import asyncio
import sys

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition

from bench.events import PARTITIONS, Span
from bench.runs import Stopwatch


async def consume(bootstrap: str, topic: str, span: Span) -> dict[str, float]:
    watch, count = Stopwatch(), 0
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        isolation_level="read_committed",
        enable_auto_commit=False,
        max_partition_fetch_bytes=4 << 20,
        max_poll_records=20_000,
    )
    async with consumer:
        tps = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        consumer.assign(tps)
        for tp in tps:
            consumer.seek(tp, span.start[tp.partition])
        left = {tp for tp in tps if span.start[tp.partition] < span.end[tp.partition]}
        watch.start()
        while left:
            for tp, records in (await consumer.getmany(timeout_ms=200, max_records=20_000)).items():
                for record in records:
                    orjson.loads(record.value)
                count += len(records)
                if records[-1].offset >= span.end[tp.partition] - 1:
                    left.discard(tp)
        return watch.stop() | {"events": count}


if __name__ == "__main__":
    bootstrap, topic, span = sys.argv[1:]
    print(orjson.dumps(asyncio.run(consume(bootstrap, topic, Span.from_json(span)))).decode())
