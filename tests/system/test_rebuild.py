"""Folds dropped and replayed: the same bytes as before, and a fold that was damaged is right again."""

import asyncio
import json
import os
import subprocess
import sys
import time
from contextlib import suppress

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.errors import KafkaError

from red_common.kafka.connection import KafkaConnection
from red_stats import topics
from red_stats.domain.windows import Window, encode
from red_stats.kafka.changelog_loader import read_to_end
from red_stats.kafka.topic_admin import TopicMismatch, ensure_topics
from red_stats.store.query_server import RemoteStore
from red_stats.tables.declarations import changelogs_of
from red_stats.tables.deliver import DeliverTables
from red_stats.tables.live import LiveTables
from tests.conftest import PARTITIONS, a_broker
from tests.receiver import Receiver
from tests.services import a_key, an_api, running, verified, worker
from tests.system.records import measured

OVER = 3 * 49 + 1  # of the history below
TABLES = ("measurements", "alerts", "deliveries")


@pytest.fixture
def broker(tmp_path):
    with a_broker(tmp_path / "kafka") as bootstrap:  # of its own: every partition is rebuilt
        yield bootstrap


async def changelogs(bootstrap, tables=LiveTables):
    held = {}

    def apply(record):
        if record.value is None:
            held.pop((record.topic, record.key), None)
        elif not record.key.startswith(b"!"):
            held[record.topic, record.key] = record.value

    tps = [TopicPartition(topic, n) for topic in changelogs_of(tables).values() for n in range(PARTITIONS)]
    await read_to_end(KafkaConnection(bootstrap), dict.fromkeys(tps, apply))
    return held


def stored(stats):
    store = RemoteStore(stats.folder / "data")
    fields = "* EXCEPT (batch_first, batch_rows, batch_at)"
    sql = "SELECT %s FROM red.%s WHERE client_id != '' ORDER BY kafka_partition, kafka_offset"
    return {table: store.query(sql % (fields, table)) for table in TABLES}


def rebuilt(stats, key, *arguments):
    given = ["--url", stats.url, "--key", key, "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "red_stats", "rebuild", *arguments, *given],
        env=os.environ | stats.environment(), capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


async def _a_history(broker, api, stats, receiver):
    """Images before, between and after versions, all of them told; the last position."""
    await measured(broker, api.client_id, [0.1, 0.9])
    subscription = await api.subscribed(stats, receiver.url, 0.5)
    await measured(broker, api.client_id, [n % 100 / 100 for n in range(300)])
    one = f"{stats.url}/v1/subscriptions/{subscription['id']}"
    await api.call("PATCH", one, json={"threshold": 0.8})
    [*_, position] = await measured(broker, api.client_id, [0.7, 0.9])
    await api.call("GET", f"{stats.url}/v1/live?at_least={position}")
    assert (await api.call("PATCH", one, json={"description": "no range is left behind"}))[0] == 200
    await receiver.until(lambda receiver: len(receiver.alerts()) == OVER)
    assert verified(stats)[1]["differences"] == []
    return position


async def test_alerts_that_wait_for_a_digest_are_left_alone(broker, tmp_path):
    with running(worker(broker, tmp_path)) as stats:
        async with an_api(broker, stats) as api, Receiver() as receiver:
            _, admin, _ = await a_key(broker, "operator", ("admin",))
            fields = {"max_age": None, "min_interval": 3600}
            subscription = await api.subscribed(stats, receiver.url, 0.5, **fields)
            [*_, position] = await measured(broker, api.client_id, [0.9] * 150)
            await api.call("GET", f"{stats.url}/v1/alerts?at_least={position}")
            await api.ended(stats, subscription)
            before = await changelogs(broker, DeliverTables)
            assert len([key for topic, key in before if topic == topics.DIGESTS_CHANGELOG]) == 101

            code, _, err = rebuilt(stats, admin, "all")

            assert code == 0, err
            assert await changelogs(broker, DeliverTables) == before
            [version] = verified(stats)[1]["subscriptions"]
            assert (version["delivered"], version["waiting"]) == (1, 149)
            assert len(receiver.got) == 1


async def test_folds_are_rebuilt_to_the_same_bytes_and_a_damaged_one_is_mended(broker, tmp_path):
    with running(worker(broker, tmp_path)) as stats:
        async with an_api(broker, stats) as api, Receiver() as receiver:
            _, admin, _ = await a_key(broker, "operator", ("admin",))
            position = await _a_history(broker, api, stats, receiver)
            before, rows = await changelogs(broker), stored(stats)

            code, out, err = rebuilt(stats, admin, "all")
            assert code == 0, err
            assert await changelogs(broker) == before
            assert [one["changed"] for one in json.loads(out)["live"]["partitions"]] == [0] * PARTITIONS
            assert stored(stats) == rows
            assert verified(stats)[1]["differences"] == []

            stats.stop()
            await _damaged(broker, api.client_id, position)
            stats.start()
            stats.until_ready()
            assert verified(stats)[0] == 1
            [more] = await measured(broker, api.client_id, [0.95])
            code, out, err = rebuilt(stats, admin, "live")
            assert code == 0, err
            assert sum(one["changed"] for one in json.loads(out)["live"]["partitions"]) == 1
            assert (await api.call("GET", f"{stats.url}/v1/live?at_least={more}"))[0] == 200
            await receiver.until(lambda receiver: len(receiver.alerts()) == OVER + 1)
            assert verified(stats)[1]["differences"] == []


async def _damaged(bootstrap, client_id, position):
    """A window that no image made, as a wrong fold would have left it."""
    partition = int(position.partition(":")[0])
    key = f"{client_id}|{int(time.time()) // 60 - 5}".encode()
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        value = encode(Window(1, 5, b"\x05"))
        await producer.send_and_wait(topics.WINDOWS_CHANGELOG, value, key, partition=partition)


async def test_live_whose_changelogs_are_gone_makes_its_state_again_and_tells_nothing_twice(broker, tmp_path):
    with running(worker(broker, tmp_path)) as stats:
        async with an_api(broker, stats) as api, Receiver() as receiver:
            await _a_history(broker, api, stats, receiver)
            before = await changelogs(broker)
            stats.stop()
            client = AIOKafkaAdminClient(bootstrap_servers=broker)
            await client.start()
            await client.delete_topics(list(changelogs_of(LiveTables).values()))
            await until_created_anew(broker)
            await client.close()

            stats.start()
            stats.until_ready()
            assert await changelogs(broker) == before
            [more] = await measured(broker, api.client_id, [0.95])
            assert (await api.call("GET", f"{stats.url}/v1/live?at_least={more}"))[0] == 200
            await receiver.until(lambda receiver: len(receiver.alerts()) == OVER + 1)
            assert verified(stats)[1]["differences"] == []


async def until_created_anew(bootstrap):
    """Kafka deletes topics some time after it said so."""
    async with asyncio.timeout(20):
        while True:
            with suppress(KafkaError, TopicMismatch):
                await ensure_topics(KafkaConnection(bootstrap), PARTITIONS)
                return
            await asyncio.sleep(0.2)


async def test_rows_that_kafka_no_longer_has_outlive_a_rebuild(broker, tmp_path):
    with running(worker(broker, tmp_path)) as stats:
        async with an_api(broker, stats) as api, Receiver() as receiver:
            _, admin, _ = await a_key(broker, "operator", ("admin",))
            position = await _a_history(broker, api, stats, receiver)
            rows = stored(stats)
            partition = int(position.partition(":")[0])
            client = AIOKafkaAdminClient(bootstrap_servers=broker)
            await client.start()
            half = {TopicPartition(topics.ALERTS, partition): RecordsToDelete(before_offset=70)}
            await client.delete_records(half)
            await client.close()

            code, out, err = rebuilt(stats, admin, "record")
            assert code == 0, err
            assert json.loads(out)["record"]["alerts"]["copied"] > 0
            assert stored(stats) == rows


async def test_who_may_not_or_asks_wrongly_is_told_in_one_line(kafka, tmp_path):
    with running(worker(kafka, tmp_path, role="live")) as stats:
        async with an_api(kafka, stats) as api:
            assert (await api.call("POST", f"{stats.url}/v1/rebuild?partition=0"))[0] == 403
            code, _, err = rebuilt(stats, api.key, "live")
            assert (code, len(err.splitlines())) == (1, 1)
            assert "admin" in err
            code, _, err = rebuilt(stats, api.key, "record")
            assert (code, len(err.splitlines())) == (1, 1)
            assert "role record" in err
