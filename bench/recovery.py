"""A million clients' state and 100,000 pending deliveries: from process start to ready, and memory."""

import asyncio
import statistics
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil
from aiokafka import AIOKafkaProducer

from bench.runs import a_broker, told
from red_common.events import rfc3339
from red_common.kafka.connection import KafkaConnection
from red_common.kafka.partitioner import partition_of
from red_common.secret_keys import load_keys
from red_stats import topics
from red_stats.delivery.secret_box import SecretBox
from red_stats.domain import deliveries, subscriptions, windows
from red_stats.domain.measurements import WINDOW_MS, from_ms
from red_stats.domain.subscriptions import Client, Secret, Subscription
from red_stats.domain.windows import Window
from red_stats.kafka.topic_admin import ensure_topics

CLIENTS = 1_000_000
PENDING = 100_000
PARTITIONS = 4
THRESHOLD = 0.25
ROUNDS = 3
GOAL_SECONDS = 10
KEY = "ab" * 32
BATCH_BYTES = 900_000

Record = tuple[str, str, bytes, bytes]  # topic, client_id, key, value


def main() -> None:
    with a_broker() as (kafka, folder):
        asyncio.run(ensure_topics(KafkaConnection(kafka.bootstrap), PARTITIONS))
        empty = [_started(kafka.bootstrap, folder) for _ in range(ROUNDS)]
        began = time.monotonic()
        asyncio.run(written(kafka.bootstrap))
        print(f"state written in {time.monotonic() - began:.0f} s", flush=True)
        full = [_started(kafka.bootstrap, folder) for _ in range(ROUNDS)]
    for name, runs in (("empty", empty), (f"{CLIENTS:,} clients, {PENDING:,} pending", full)):
        seconds, mib = zip(*runs, strict=True)
        print(f"{name:<36} ready after {statistics.median(seconds):5.1f} s, {max(mib):6.0f} MiB")
    more = statistics.median(mib for _, mib in full) - statistics.median(mib for _, mib in empty)
    print(f"memory per client with one window and one subscription: {more * (1 << 20) / CLIENTS:,.0f} bytes")
    ready = statistics.median(seconds for seconds, _ in full)
    told("ready / goal of 10 s", ready / GOAL_SECONDS, 1, at_least=False)


def _started(bootstrap: str, folder: Path) -> tuple[float, float]:
    """Seconds to ready of a worker with every role, and its memory (MiB) then."""
    from tests.services import worker

    service = worker(bootstrap, folder, RED_SECRET_KEY=KEY, RED_SESSION_TIMEOUT="10")
    started = time.monotonic()
    try:
        service.until_ready(300)
        seconds = time.monotonic() - started
        return seconds, psutil.Process(service.process.pid).memory_full_info().pss / (1 << 20)
    finally:
        service.stop()


async def written(
    bootstrap: str, clients: int = CLIENTS, pending: int = PENDING, threshold: float = THRESHOLD
) -> None:
    """The changelogs as live and deliver would have left them."""
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, max_batch_size=BATCH_BYTES) as producer:
        builders = {}
        for topic, client_id, key, value in _records(int(time.time() * 1000), clients, pending, threshold):
            place = (topic, partition_of(client_id, PARTITIONS))
            if place not in builders:
                builders[place] = producer.create_batch()
            while builders[place].append(timestamp=None, key=key, value=value) is None:
                await producer.send_batch(builders[place], topic, partition=place[1])
                builders[place] = producer.create_batch()
        for (topic, number), builder in builders.items():
            await producer.send_batch(builder, topic, partition=number)
        await producer.flush()


def client(number: int) -> str:
    return f"client-{number:07d}"


def _records(now: int, clients: int, pending: int, threshold: float) -> Iterator[Record]:
    sealed = SecretBox(load_keys(Path("/nowhere"), KEY)).fresh("any", "any")
    for number in range(clients):
        client_id = client(number)
        subscription = str(uuid.UUID(int=number, version=4))
        window = Window(3, 1200, b"\x05\x0c\x20", {subscription: (3, 0)})
        key = f"{client_id}|{now // WINDOW_MS}".encode()
        yield topics.WINDOWS_CHANGELOG, client_id, key, windows.encode(window)
        yield topics.ALERT_SEQUENCES_CHANGELOG, client_id, subscription.encode(), b"7"
        listed = subscriptions.encode(_client(client_id, subscription, sealed, now, threshold))
        yield topics.SUBSCRIPTIONS, client_id, client_id.encode(), listed
        if number < pending:
            row = _row(client_id, subscription, number, now)
            yield topics.PENDING_CHANGELOG, client_id, row.id.encode(), deliveries.encode(row)


def _client(client_id: str, subscription: str, sealed: str, now: int, threshold: float) -> Client:
    one = Subscription(
        id=subscription,
        version=1,
        webhook_url=f"https://hooks.example.com/{client_id}",
        threshold=threshold,
        since=0,
        partition=partition_of(client_id, PARTITIONS),
        created_at=rfc3339(from_ms(now)),
        updated_at=rfc3339(from_ms(now)),
        secrets=(Secret(sealed),),
    )
    return Client(client_id=client_id, offset=0, subscriptions=(one,))


def _row(client_id: str, subscription: str, number: int, now: int) -> deliveries.Row:
    alert = {
        "id": str(uuid.UUID(int=number, version=4)),
        "subscription_id": subscription,
        "version": 1,
        "seq": 7,
        "prev_seq": 6,
        "image_id": str(uuid.uuid4()),
        "red": 0.3,
        "threshold": 0.25,
        "measured_at": rfc3339(from_ms(now)),
        "position": f"0:{number}",
    }
    return deliveries.Row(
        id=str(uuid.UUID(int=number, version=5)),
        webhook_id=f"msg_{number}",
        alert_id=str(alert["id"]),
        client_id=client_id,
        subscription_id=subscription,
        version=1,
        type="red.alert",
        timestamp=rfc3339(from_ms(now)),
        data=msgspec.json.encode(alert).decode(),
        since=now,
        due=now + 3_600_000,
        wait=3_600_000,
        attempt=3,
    )


if __name__ == "__main__":
    main()
