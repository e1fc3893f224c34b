"""Records of tens of MB, and what unpacks to a gigabyte: dead letters, and memory is given back."""

import asyncio
import hashlib
import json
import re
from base64 import b64decode
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from red_stats import topics
from red_stats.domain.dead_letters import KEPT
from tests.conftest import a_broker
from tests.new_topics import limit_records
from tests.services import ALL, an_api, running, verified, worker
from tests.system.records import measured, until_records

MIB = 1 << 20
LARGE = 60 * MIB
READ = (topics.MEASUREMENTS, topics.SUBSCRIPTION_COMMANDS, topics.ALERTS, topics.DELIVERY_TASKS)
KEPT_MIB = 150  # that a process may hold more than before: buffers, caches, and what this machine adds


@pytest.fixture(scope="module")
def kafka(tmp_path_factory):
    """Of its own: its topics take what others refuse."""
    with a_broker(tmp_path_factory.mktemp("kafka")) as bootstrap:
        asyncio.run(limit_records(bootstrap, LARGE + 4 * MIB, *READ))
        yield bootstrap


def resident(service):
    """MiB of the process."""
    status = Path(f"/proc/{service.process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) >> 10


async def counted(api, stats, kafka, images):
    """All views have so many images once one more is there."""
    [position] = await measured(kafka, api.client_id, [0.5])
    async with asyncio.timeout(60):
        for view in ("live?", f"statistics?{ALL}&"):
            status, body = await api.call("GET", f"{stats.url}/v1/{view}at_least={position}")
            assert status == 200
            assert body.get("images", body.get("totals", {}).get("24h", {}).get("images")) == images


async def test_a_record_of_60_mb_is_a_dead_letter_everywhere_and_its_memory_is_given_back(kafka, tmp_path):
    with running(worker(kafka, tmp_path)) as stats:
        async with an_api(kafka, stats) as api:
            key = api.client_id.encode()
            await counted(api, stats, kafka, 1)
            before = resident(stats)
            value = b'{"client_id":"%b","command_id":"large","x":"' % key + b"x" * (LARGE - 200) + b'"}'

            for topic in READ:
                async with AIOKafkaProducer(bootstrap_servers=kafka, max_request_size=LARGE) as producer:
                    await producer.send_and_wait(topic, value, key)
            zeros = b"\0" * (400 * MIB)
            async with AIOKafkaProducer(
                bootstrap_servers=kafka, max_request_size=500 * MIB, compression_type="zstd"
            ) as producer:
                packed = await producer.send_and_wait(topics.MEASUREMENTS, zeros, key)
            del zeros

            found = await until_records(kafka, topics.DEAD_LETTERS, api.client_id, len(READ), seconds=90)
            letters = [json.loads(record.value) for record in found]
            assert {letter["topic"] for letter in letters} == set(READ)
            for letter in letters:
                assert letter["size"] == len(key) + len(value)
                assert letter["sha256"] == hashlib.sha256(value).hexdigest()
                assert b64decode(letter["value_base64"]) == value[:KEPT]
            assert packed.offset > 0
            await counted(api, stats, kafka, 2)
            async with asyncio.timeout(60):
                while resident(stats) > before + KEPT_MIB:
                    await counted_again(api, stats, kafka)
            code, report = await asyncio.to_thread(verified, stats)
            assert (code, report["differences"]) == (0, [])


async def counted_again(api, stats, kafka):
    """An image more, so that whatever still holds a batch gets another one."""
    await measured(kafka, api.client_id, [0.5])
    await asyncio.sleep(0.5)
