"""`red-stats lag` and `dead-letters` beside a running worker."""

import asyncio
import json
import os
import subprocess
import sys
import time
from contextlib import suppress

import pytest
from aiokafka import AIOKafkaProducer

from red_stats import topics
from tests.builders import a_measurement
from tests.conftest import a_broker
from tests.services import ALL, an_api, running, worker
from tests.system.records import measured


@pytest.fixture(scope="module")
def kafka(tmp_path_factory):
    """Of its own: webhooks of other tests' clients, retried meanwhile, would be behind as well."""
    with a_broker(tmp_path_factory.mktemp("kafka")) as bootstrap:
        yield bootstrap


async def cli(stats, *arguments, typed=None):
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "red_stats", *arguments],
        env=os.environ | stats.environment(), capture_output=True, text=True, timeout=60,
        input=typed,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


async def letters_of(stats, client_id):
    code, out, _ = await cli(stats, "dead-letters", "list", "--json")
    assert code == 0
    return [letter for letter in json.loads(out) if letter["key"] == client_id]


async def until_one(stats, client_id):
    async with asyncio.timeout(30):
        while not (found := await letters_of(stats, client_id)):  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    return found


async def test_a_dead_letter_is_listed_shown_mended_and_counted_once(kafka, tmp_path):
    with running(worker(kafka, tmp_path)) as stats:
        async with an_api(kafka, stats) as api:
            async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
                await producer.send_and_wait(topics.MEASUREMENTS, b'{"red": \xff', api.client_id.encode())
            [letter] = await until_one(stats, api.client_id)
            assert (letter["topic"], letter["value"], letter["replayed"]) == (
                topics.MEASUREMENTS, '{"red": \\xff', False,
            )  # fmt: skip

            code, out, _ = await cli(stats, "dead-letters", "show", letter["at"])
            assert (code, letter["reason"] in out) == (0, True)

            mended = tmp_path / "mended.json"
            mended.write_bytes(a_measurement(api.client_id, 0.5))
            replay = ("dead-letters", "replay", letter["at"], "--value", str(mended))
            code, out, err = await cli(stats, *replay, "--json")
            assert code == 0, err
            position = json.loads(out)["position"]
            status, _ = await api.call("GET", f"{stats.url}/v1/live?at_least={position}")
            assert status == 200
            _, body = await api.call("GET", f"{stats.url}/v1/statistics?{ALL}&at_least={position}")
            assert body["images"] == 1

            assert [one["replayed"] for one in await letters_of(stats, api.client_id)] == [True]
            code, _, err = await cli(stats, *replay)
            assert (code, "--again" in err, len(err.splitlines())) == (1, True, 1)
            code, _, err = await cli(stats, "dead-letters", "show", "0:999999")
            assert (code, len(err.splitlines())) == (1, 1)


async def test_lag_is_what_a_stopped_worker_leaves_and_none_once_it_is_back(kafka, tmp_path):
    with running(worker(kafka, tmp_path, RED_INSTANCE="lag")) as stats:  # back without its session's end
        async with an_api(kafka, stats) as api:
            await until_no_image_is_behind(stats)
            stats.stop()
            positions = await measured(kafka, api.client_id, [0.1] * 7)
            partition = int(positions[0].partition(":")[0])
            code, out, _ = await cli(stats, "lag", "--json")
            assert code == 0
            behind = {
                (one["role"], one["topic"]): one
                for one in json.loads(out)
                if one["records"] and one["partition"] == partition
            }
            assert set(behind) == {("live", topics.MEASUREMENTS), ("record", topics.MEASUREMENTS)}
            assert {one["records"] for one in behind.values()} == {7}
            assert all(0 < one["seconds"] < 60 for one in behind.values())
            stats.start()
            stats.until_ready()
            await until_no_image_is_behind(stats)

            [position] = await measured(kafka, api.client_id, [0.1])
            for view in ("live?", f"statistics?{ALL}&"):
                status, _ = await api.call("GET", f"{stats.url}/v1/{view}at_least={position}")
                assert status == 200
            stats.kill()  # before it commits what it has folded
            stats.start()
            stats.until_ready()
            await until_no_image_is_behind(stats)


async def until_no_image_is_behind(stats):
    """Fails with what is left after 90 s."""
    left = []
    with suppress(TimeoutError):
        async with asyncio.timeout(90):
            while True:
                code, out, err = await cli(stats, "lag", "--json")
                assert code == 0, err
                images = [one for one in json.loads(out) if one["topic"] == topics.MEASUREMENTS]
                assert {one["role"] for one in images} == {"live", "record"}
                if not (left := [one for one in images if one["records"]]):
                    return
                await asyncio.sleep(0.2)
    assert left == []


def test_a_worker_started_before_kafka_waits_for_it(tmp_path):
    stats = worker("127.0.0.1:1", tmp_path)
    try:
        deadline = time.monotonic() + 30
        while "waiting for Kafka" not in stats.log.read_text():
            assert stats.process.poll() is None, stats.log.read_text()
            assert time.monotonic() < deadline, stats.log.read_text()
            time.sleep(0.05)

        with pytest.raises(subprocess.TimeoutExpired):
            stats.process.wait(3)
    finally:
        stats.stop()
    assert "Traceback" not in stats.log.read_text()
