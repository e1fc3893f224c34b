"""A partition that does not move although its log does shows within 30 s, everywhere, with its cause."""

import asyncio
import json
import subprocess
import time
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaProducer

from red_common.kafka.connection import KafkaConnection
from red_common.kafka.partitioner import partition_of
from red_stats import topics
from red_stats.kafka.consumer_lag import lag_of
from tests.builders import a_client_of, a_measurement
from tests.conftest import PARTITIONS, a_broker
from tests.new_topics import own
from tests.services import ALL, an_api, running, worker
from tests.system.records import measured
from tests.system.test_operating import cli

SHOWN = 30 + 10  # seconds, and what this noisy machine adds


@pytest.fixture(scope="module")
def kafka(tmp_path_factory):
    """Of its own: what is held back here must hold up no other test."""
    with a_broker(tmp_path_factory.mktemp("kafka")) as bootstrap:
        yield bootstrap


@asynccontextmanager
async def an_open_transaction(kafka, topic, partition):
    """Somebody's, with one record, aborted at the end."""
    async with AIOKafkaProducer(
        bootstrap_servers=kafka, transactional_id=own("foreign"), transaction_timeout_ms=600_000
    ) as producer:
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"never committed", b"foreign", partition=partition)
        try:
            yield
        finally:
            await producer.abort_transaction()


async def ready(api, stats):
    return await api.call("GET", f"{stats.url}/health/ready")


async def until_ready_says(api, stats, status, seconds=SHOWN):
    async with asyncio.timeout(seconds):
        while (answer := await ready(api, stats))[0] != status:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    return answer[1]


async def lags(stats, topic, partition):
    code, out, err = await cli(stats, "lag", "--json")
    assert code == 0, err
    return {
        one["role"]: one["stalled"]
        for one in json.loads(out)
        if (one["topic"], one["partition"]) == (topic, partition)
    }


async def stalled_metrics(api, stats):
    async with api.session.get(f"{stats.url}/metrics") as answer:
        text = await answer.text()
    return [line for line in text.splitlines() if line.startswith("red_stats_stalled_seconds{")]


async def test_an_open_transaction_shows_everywhere_and_nowhere_once_it_has_ended(kafka, tmp_path):
    with running(worker(kafka, tmp_path)) as stats:
        async with an_api(kafka, stats) as api:
            number = partition_of(api.client_id, PARTITIONS)
            async with an_open_transaction(kafka, topics.MEASUREMENTS, number):
                since = time.monotonic()
                await measured(kafka, api.client_id, [0.5] * 3)

                problem = await until_ready_says(api, stats, 503)

                assert time.monotonic() - since < SHOWN
                assert problem["code"] == "not_ready"
                assert f"{topics.MEASUREMENTS}/{number}" in problem["detail"]
                assert "transaction" in problem["detail"]
                told = {(s["role"], s["topic"], s["partition"], s["cause"]) for s in problem["stalled"]}
                assert told == {
                    (role, topics.MEASUREMENTS, number, "open transaction") for role in ("live", "record")
                }
                lines = await stalled_metrics(api, stats)
                assert len(lines) == 2
                assert all(f'partition="{number}"' in line for line in lines)
                by_role = await lags(stats, topics.MEASUREMENTS, number)
                assert all("transaction has been open" in text for text in by_role.values())
                other = (number + 1) % PARTITIONS
                assert set((await lags(stats, topics.MEASUREMENTS, other)).values()) == {None}

            body = await until_ready_says(api, stats, 200)
            assert body["stalled"] == []
            assert await stalled_metrics(api, stats) == []
            assert set((await lags(stats, topics.MEASUREMENTS, number)).values()) == {None}
            [position] = await measured(kafka, api.client_id, [0.5])
            _, live = await api.call("GET", f"{stats.url}/v1/live?at_least={position}")
            assert live["totals"]["1h"]["images"] == 4


async def test_a_store_that_takes_no_rows_is_told_and_an_idle_partition_a_restart_and_a_takeover_are_not(
    kafka, tmp_path
):
    with running(worker(kafka, tmp_path, RED_INSTANCE="stalls")) as stats:
        async with an_api(kafka, stats) as api:
            number = partition_of(api.client_id, PARTITIONS)
            [position] = await measured(kafka, api.client_id, [0.5])
            path = f"statistics?{ALL}&at_least={position}"
            assert (await api.call("GET", f"{stats.url}/v1/{path}"))[0] == 200
            await asyncio.to_thread(stats.stop)
            await measured(kafka, api.client_id, [0.5] * 2000)
            stats.start()
            await asyncio.to_thread(stats.until_ready)
            await never_stalled(api, stats, 20)

            limit_files(stats.process.pid, "0")
            await measured(kafka, api.client_id, [0.5])
            problem = await until_ready_says(api, stats, 503)
            limit_files(stats.process.pid, "unlimited")

            told = {(s["role"], s["topic"], s["partition"], s["cause"]) for s in problem["stalled"]}
            assert told == {("record", topics.MEASUREMENTS, number, "not processed")}
            assert "store" in problem["stalled"][0]["detail"]
            await until_ready_says(api, stats, 200)


async def test_a_role_that_does_not_run_is_told_as_the_cause(kafka):
    await measured(kafka, a_client_of(0), [0.5])
    connection = KafkaConnection(kafka)
    pauses = []

    async def pause(seconds):
        pauses.append(seconds)

    lags = await lag_of(connection, PARTITIONS, now=lambda: time.time() + 60, pause=pause)

    told = {(one.role, one.topic, one.stalled) for one in lags if one.records and one.partition == 0}
    assert told == {
        (role, topics.MEASUREMENTS, f"no worker of role {role} runs") for role in ("live", "record")
    }
    assert len(pauses) == 1


async def never_stalled(api, stats, seconds):
    """Looks as often as it can for so long: what must not show has no moment at which it would."""
    ending = time.monotonic() + seconds
    while time.monotonic() < ending:
        status, body = await ready(api, stats)
        assert (status, body["stalled"]) == (200, [])
        await asyncio.sleep(0.5)


def limit_files(pid, size):
    """How large a file the process may write: with 0 every write to a disk fails."""
    subprocess.run(["prlimit", "--pid", str(pid), f"--fsize={size}:"], check=True)


async def test_a_takeover_waits_for_what_stands_behind_an_open_transaction(kafka, tmp_path):
    """Without it, the marks would be older than what was committed, and alerts raised twice."""
    with running(worker(kafka, tmp_path, role="live", RED_INSTANCE="takeover")) as stats:
        async with an_api(kafka, stats) as api:
            number = partition_of(api.client_id, PARTITIONS)
            await api.subscribed(stats, "https://example.com/h", 0.25)
            async with an_open_transaction(kafka, topics.WINDOWS_CHANGELOG, number):
                positions = await measured(kafka, api.client_id, [0.5] * 5)
                url = f"{stats.url}/v1/live?at_least={positions[-1]}"
                assert (await api.call("GET", url))[0] == 200
                stats.kill()
                stats.start()
                problem = await until_told(api, stats)
                assert topics.WINDOWS_CHANGELOG in {stall["topic"] for stall in problem["stalled"]}
            await asyncio.to_thread(stats.until_ready)
            [last] = await measured(kafka, api.client_id, [0.5])
            _, live = await api.call("GET", f"{stats.url}/v1/live?at_least={last}")
            assert live["totals"]["1h"]["images"] == live["subscriptions"][0]["over"] == 6


async def until_told(api, stats):
    async with asyncio.timeout(60):
        while True:
            try:
                status, body = await ready(api, stats)
                if status == 503 and body["stalled"]:
                    return body
            except OSError:
                pass
            await asyncio.sleep(0.2)


async def test_commands_and_times_that_cannot_be_are_answered_in_clear_words(kafka, tmp_path):
    with running(worker(kafka, tmp_path)) as stats:
        async with an_api(kafka, stats) as api:
            url = f"{stats.url}/v1/statistics?from=2026-01-01T00:00:00Z&to="
            status, problem = await api.call("GET", f"{url}9999-12-31T23:59:59.999-23:59")
            assert (status, problem["code"]) == (400, "invalid_parameter")
            status, problem = await api.call("GET", f"{url}9999-12-31T23:59:59.999Z&threshold=0.2500000001")
            assert (status, problem["code"]) == (422, "threshold_out_of_range")
            body = b'{"webhook_url": "https://example.com/h", "threshold": 0.30000000000000004}'
            status, problem = await api.call("POST", f"{stats.url}/v1/subscriptions", data=body)
            assert (status, problem["code"]) == (422, "threshold_out_of_range")
            body = body.replace(b"0.30000000000000004", b"0.3").replace(b"example.com", b"[v1.fe]")
            status, problem = await api.call("POST", f"{stats.url}/v1/subscriptions", data=body)
            assert (status, problem["reason"]) == (422, "bad-host")
            value = a_measurement(api.client_id, 0.5, measured_at="9999-12-31T23:59:59.999-23:59")
            async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
                await producer.send_and_wait(topics.MEASUREMENTS, value, api.client_id.encode())
            [position] = await measured(kafka, api.client_id, [0.5])
            ask = f"{url}9999-12-31T23:59:59.999Z&at_least={position}"
            status, counted = await api.call("GET", ask)
            assert (status, counted["images"]) == (200, 1)
