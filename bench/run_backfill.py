"""`python -m bench.run_backfill KAFKA COUNT AGE_S CLIENT...`: measurements with red 0.5, clients in turns."""

import asyncio
import json
import sys
import time
import uuid

from aiokafka import AIOKafkaProducer

from bench.events import BATCH_BYTES, PARTITIONS
from red_common.events import rfc3339
from red_common.kafka.partitioner import partition_of
from red_stats import topics
from red_stats.domain.measurements import from_ms

GIVE_WAY = 200  # events between two turns of the loop


async def main(bootstrap: str, count: int, age: float, clients: list[str]) -> None:
    measured_at = rfc3339(from_ms(int(1000 * (time.time() - age))))
    numbers = [partition_of(name, PARTITIONS) for name in clients]
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, max_batch_size=BATCH_BYTES) as producer:
        builders = {number: producer.create_batch() for number in numbers}
        for made in range(count):
            name, number = clients[made % len(clients)], numbers[made % len(clients)]
            event = {"image_id": str(uuid.uuid4()), "client_id": name, "measured_at": measured_at, "red": 0.5}
            value = json.dumps(event).encode()
            while builders[number].append(timestamp=None, key=name.encode(), value=value) is None:
                await producer.send_batch(builders[number], topics.MEASUREMENTS, partition=number)
                builders[number] = producer.create_batch()
            if made % GIVE_WAY == 0:
                await asyncio.sleep(0)
        for number, builder in builders.items():
            await producer.send_batch(builder, topics.MEASUREMENTS, partition=number)
        await producer.flush()
    print(json.dumps({"published": count}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4:]))
