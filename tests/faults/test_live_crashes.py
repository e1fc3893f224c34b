"""Role live is killed at every named point; counts and alerts end as the log implies them."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition

from red_common.kafka.connection import KafkaConnection
from red_common.kafka.partitioner import partition_of
from red_stats import topics
from red_stats.domain import windows
from red_stats.kafka.changelog_loader import read_to_end
from tests.builders import a_client_of, a_measurement
from tests.conftest import PARTITIONS, free_port
from tests.system.records import until_records

IMAGES = 300
REDS = [n % 100 / 100 for n in range(IMAGES)]  # 74 of every 100 are over 0.25


def a_worker(bootstrap, folder, crash_at=""):
    environment = os.environ | {
        "RED_DATA": str(folder),
        "RED_KAFKA": bootstrap,
        "RED_SECRET_KEY": "ab" * 32,
        "RED_STATS_PORT": str(free_port()),
        "RED_CRASH_AT": crash_at,
        "RED_SESSION_TIMEOUT": "6",
        "RED_INSTANCE": "crashes",
        "RED_LOG_LEVEL": "WARNING",
    }
    with (folder / "worker.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "red_stats", "worker", "--role", "live"],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


async def produced(bootstrap, topic, values, key):
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True) as producer:
        sent = [await producer.send(topic, value, key.encode()) for value in values]
        return [(await future).offset for future in sent]


async def all_committed(bootstrap, topic, client):
    found = []
    tp = TopicPartition(topic, partition_of(client, PARTITIONS))
    await read_to_end(KafkaConnection(bootstrap), {tp: lambda r: found.append(r) if r.key else None})
    return [record for record in found if record.key.startswith(client.encode())]


def stopped(process):
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


@pytest.mark.parametrize(
    "point",
    [f"live.{moment}#2" for moment in
     ("before-transaction", "in-transaction", "after-transaction", "before-ack")],
)  # fmt: skip
async def test_a_crash_at_any_point_loses_and_doubles_nothing(kafka, tmp_path, point):
    client = a_client_of(1, prefix=f"crash-{uuid.uuid4().hex[:8]}")
    subscribe = {
        "command": "subscribe", "command_id": "c-1", "client_id": client,
        "webhook_url": "https://example.com/h", "threshold": 0.25,
    }  # fmt: skip
    first = a_worker(kafka, tmp_path, crash_at=point)
    second = None
    try:
        await produced(kafka, topics.SUBSCRIPTION_COMMANDS, [json.dumps(subscribe).encode()], client)
        [result] = await until_records(kafka, topics.COMMAND_RESULTS, client, 1)
        answer = json.loads(result.value)
        since = int(answer["subscription"]["in_force_from"].split(":")[1])
        now = int(time.time() * 1000)
        measurements = [a_measurement(client, red, now) for red in REDS]
        offsets = await produced(kafka, topics.MEASUREMENTS, measurements, client)
        assert await asyncio.to_thread(first.wait, 30) == -signal.SIGKILL

        second = a_worker(kafka, tmp_path)
        implied = [o for o, red in zip(offsets, REDS, strict=True) if red > 0.25 and o >= since]
        await until_records(kafka, topics.ALERTS, client, len(implied))
    finally:
        stopped(first)
        if second is not None:
            stopped(second)

    alerts = [json.loads(r.value) for r in await all_committed(kafka, topics.ALERTS, client)]
    assert [a["position"] for a in alerts] == [f"1:{offset}" for offset in implied]
    assert [a["seq"] for a in alerts] == list(range(1, len(implied) + 1))
    assert len({a["id"] for a in alerts}) == len(implied)
    rows = {r.key: r.value for r in await all_committed(kafka, topics.WINDOWS_CHANGELOG, client)}
    counted = [windows.decode(value) for value in rows.values()]
    assert sum(window.images for window in counted) == IMAGES
    expected = Counter(int(red * 10000 + 0.5) // 100 for red in REDS)
    assert windows.histogram(counted) == [expected[n] for n in range(100)]
    answers = await all_committed(kafka, topics.COMMAND_RESULTS, client)
    assert len(answers) == 1
