"""Measurements by the hundred thousand: about 290 bytes of JSON each, 5 % of them over 0.95."""

import asyncio
import random
import time
import uuid
from collections.abc import Sequence
from typing import NamedTuple

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from red_common.events import rfc3339
from red_common.kafka.partitioner import partition_of
from red_stats import topics
from red_stats.domain.measurements import WINDOW_MS, from_ms

PARTITIONS = 4
CLIENTS = 500
THRESHOLD = 0.95
BATCH_BYTES = 256 << 10


class Span(NamedTuple):
    """One set as it lies on the topic: offsets `[start, end)` of every partition."""

    start: dict[int, int]
    end: dict[int, int]

    def to_json(self) -> str:
        return orjson.dumps([list(self.start.items()), list(self.end.items())]).decode()

    @classmethod
    def from_json(cls, text: str) -> "Span":
        start, end = orjson.loads(text)
        return cls(dict(start), dict(end))


def client(number: int) -> str:
    return f"client-{number:04d}"


NAMES = [client(number) for number in range(CLIENTS)]


def measurement(
    chance: random.Random, now: int, windows: int, names: Sequence[str] = NAMES
) -> tuple[str, bytes]:
    """One event of a random client in one of the last `windows` minutes."""
    name = names[chance.randrange(len(names))]
    red = chance.randrange(10001) / 10000
    fields = {
        "image_id": str(uuid.UUID(int=chance.getrandbits(128), version=4)),
        "client_id": name,
        "measured_at": rfc3339(from_ms(now - chance.randrange(windows) * WINDOW_MS)),
        "red": red,
        "red_pixels": int(red * 2_000_000),
        "pixels": 2_000_000,
        "red_excess": 0.1234,
        "red_channel": 0.4321,
        "width": 2000,
        "height": 1000,
        "format": "jpeg",
        "rule": "red-1",
    }
    return name, orjson.dumps(fields)


async def load(
    bootstrap: str,
    count: int,
    windows: int,
    seed: int,
    topic: str = topics.MEASUREMENTS,
    names: Sequence[str] = NAMES,
) -> Span:
    """Append a set to the topic."""
    chance, now = random.Random(seed), int(time.time() * 1000)
    start = await ends(bootstrap, topic)
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, max_batch_size=BATCH_BYTES, linger_ms=5)
    async with producer:
        builders = {p: producer.create_batch() for p in range(PARTITIONS)}
        for _ in range(count):
            name, value = measurement(chance, now, windows, names)
            number = partition_of(name, PARTITIONS)
            while builders[number].append(timestamp=None, key=name.encode(), value=value) is None:
                await producer.send_batch(builders[number], topic, partition=number)
                builders[number] = producer.create_batch()
        for number, builder in builders.items():
            await producer.send_batch(builder, topic, partition=number)
        await producer.flush()
    return Span(start, await ends(bootstrap, topic))


async def ends(bootstrap: str, topic: str) -> dict[int, int]:
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap) as consumer:
        tps = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        return {tp.partition: end for tp, end in (await consumer.end_offsets(tps)).items()}


async def subscribe_all(bootstrap: str) -> None:
    """A command for every client: one threshold each. Returns when all are accepted."""
    answered = AIOKafkaConsumer(
        topics.COMMAND_RESULTS, bootstrap_servers=bootstrap, auto_offset_reset="earliest"
    )
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer, answered, asyncio.timeout(120):
        for number in range(CLIENTS):
            name = client(number)
            command = {
                "command": "subscribe", "command_id": "bench", "client_id": name,
                "webhook_url": "https://example.com/hook", "threshold": THRESHOLD,
            }  # fmt: skip
            await producer.send(topics.SUBSCRIPTION_COMMANDS, orjson.dumps(command), name.encode())
        await producer.flush()
        accepted = 0
        while accepted < CLIENTS:
            record = await answered.getone()
            accepted += orjson.loads(record.value)["status"] == "accepted"
