"""Idempotency-Key on real RED processes: a retry is the same event, whatever happened in between."""

import asyncio
import hashlib
import json
import signal
import time
import uuid

import aiohttp
import pytest
from aiokafka import AIOKafkaProducer, TopicPartition

from red_common.failpoints import RED_POINTS
from red_common.kafka.connection import KafkaConnection
from red_common.kafka.end_offsets import LogEnds
from red_common.kafka.partitioner import partition_of
from red_stats import topics
from red_stats.kafka.changelog_loader import read_to_end
from red_stats.kafka.topic_admin import ensure_topics
from red_stats.local.kafka import new_kafka
from tests.conftest import PARTITIONS, free_port
from tests.red_service import builders as b
from tests.services import an_api, red, running, until_paused

IMAGE = b.a_png()


class KeyedClient:
    """One client that sends keyed requests to any RED."""

    def __init__(self, kafka, api):
        self.kafka, self.api = kafka, api

    async def post(self, service, key, content=IMAGE, kind="image/png", **headers):
        given = {"Content-Type": kind, "Idempotency-Key": key} | headers
        return await self.api.call("POST", f"{service.url}/red", data=content, headers=given)

    async def until_answered(self, service, key, content=IMAGE, seconds=60):
        """Retries as a client would, until there is an answer."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                status, answer = await self.post(service, key, content)
            except (OSError, aiohttp.ClientError):
                status, answer = 0, {}
            if status not in (0, 409, 503):
                return status, answer
            assert time.monotonic() < deadline, answer
            await asyncio.sleep(0.2)

    async def records(self):
        """Read to the log's own end: a transaction is acknowledged before readers can see it."""
        found = []
        tp = TopicPartition(topics.MEASUREMENTS, partition_of(self.api.client_id, PARTITIONS))
        ends = LogEnds(KafkaConnection(self.kafka))
        await read_to_end(KafkaConnection(self.kafka), {tp: found.append}, await ends.ends([tp]))
        await ends.stop()
        return [record for record in found if record.key == self.api.client_id.encode()]

    async def events(self):
        return [json.loads(record.value) for record in await self.records()]


@pytest.fixture(scope="module")
def service(kafka, tmp_path_factory):
    with running(red(kafka, tmp_path_factory.mktemp("keyed"), RED_DECODE_WORKERS="1")) as service:
        yield service


@pytest.fixture
async def client(kafka, service):
    async with an_api(kafka, service) as api:
        yield KeyedClient(kafka, api)


def a_key():
    return str(uuid.uuid4())


async def test_a_retry_is_the_same_event_and_the_same_answer(client, service):
    key = a_key()
    first, again = await client.post(service, key), await client.post(service, key)

    assert first == again
    assert first[0] == 200
    assert [event["image_id"] for event in await client.events()] == [first[1]["image_id"]]


async def test_without_a_key_or_with_another_the_same_bytes_are_another_image(client, service):
    ids = {(await client.post(service, a_key()))[1]["image_id"] for _ in range(2)}
    assert len(ids) == 2
    assert len(await client.events()) == 2


async def test_another_body_under_the_same_key_is_refused(client, service):
    key = a_key()
    await client.post(service, key)
    for content, kind in ((b.a_png(b.WHITE), "image/png"), (form_of(IMAGE), BOUNDED)):
        status, problem = await client.post(service, key, content, kind)
        assert (status, problem["code"]) == (422, "idempotency_key_reused")
    assert len(await client.events()) == 1


BOUNDED = "multipart/form-data; boundary=B"


def form_of(*contents):
    head = b'--B\r\nContent-Disposition: form-data; name="a"; filename="%d"\r\n\r\n'
    return b"".join(head % n + content + b"\r\n" for n, content in enumerate(contents)) + b"--B--\r\n"


async def test_a_request_of_many_parts_is_remembered_whole(client, service):
    key, body = a_key(), form_of(IMAGE, b"no image", b.a_png(b.WHITE))
    first, again = [await client.post(service, key, body, BOUNDED) for _ in range(2)]

    assert first == again
    assert [item["status"] for item in first[1]["items"]] == ["measured", "rejected", "measured"]
    assert len(await client.events()) == 2


async def test_what_cannot_be_measured_binds_no_key(client, service):
    key = a_key()
    status, problem = await client.post(service, key, b"no image")
    assert (status, problem["code"]) == (415, "unsupported_format")
    assert (await client.post(service, key))[0] == 200


@pytest.mark.parametrize("key", ["", "x" * 256, "schl\u00fcssel"])
async def test_a_malformed_key_is_refused(client, service, key):
    status, problem = await client.post(service, key)
    assert (status, problem["code"]) == (400, "idempotency_key_invalid")


async def test_another_clients_key_is_another_key(client, service, kafka):
    key = a_key()
    mine = await client.post(service, key)
    async with an_api(kafka, service) as api:
        theirs = await KeyedClient(kafka, api).post(service, key, b.a_png(b.WHITE))
    assert theirs[0] == 200
    assert theirs[1]["image_id"] != mine[1]["image_id"]


async def test_many_at_once_are_one_event(client, service):
    key = a_key()
    answers = await asyncio.gather(*(client.post(service, key) for _ in range(10)))

    assert {status for status, _ in answers} == {200}
    assert len({answer["image_id"] for _, answer in answers}) == 1
    assert len(await client.events()) == 1


async def test_two_processes_at_once_are_one_event(client, service, kafka):
    with running(red(kafka, service.folder, RED_DECODE_WORKERS="1")) as other:
        for _ in range(5):
            key = a_key()
            before = len(await client.events())
            answers = await asyncio.gather(
                *(client.post(one, key) for one in (service, other, service, other))
            )
            codes = {answer.get("code") for status, answer in answers if status != 200}
            assert codes <= {"idempotency_in_progress"}
            ids = {answer["image_id"] for status, answer in answers if status == 200}
            assert len(ids) == 1
            _, answer = await client.until_answered(other, key)
            assert {answer["image_id"]} == ids
            assert len(await client.events()) == before + 1


@pytest.mark.parametrize("point", RED_POINTS)
async def test_a_red_killed_at_any_point_and_started_again_counts_once(kafka, tmp_path, point):
    service = red(kafka, tmp_path, RED_DECODE_WORKERS="1", RED_INSTANCE="phoenix-" + uuid.uuid4().hex)
    with running(service):
        async with an_api(kafka, service) as api:
            client, key = KeyedClient(kafka, api), a_key()
            service.stop()
            service.start(RED_CRASH_AT=point)
            await asyncio.to_thread(service.until_ready)
            with pytest.raises(aiohttp.ClientError):
                await client.post(service, key)
            assert await asyncio.to_thread(service.process.wait, 20) == -signal.SIGKILL
            service.start()
            await asyncio.to_thread(service.until_ready)
            started = time.monotonic()

            status, answer = await client.until_answered(service, key)

            assert time.monotonic() - started < 10, "a restarted RED knows that its predecessor is gone"
            assert status == 200
            assert await client.post(service, key) == (status, answer)
            events = await client.events()
            assert [event["image_id"] for event in events] == [answer["image_id"]]
            assert events[0]["measured_at"] == answer["measured_at"]


async def test_another_red_finishes_what_a_paused_one_began_and_the_paused_one_is_fenced(kafka, tmp_path):
    """409 until the lease is over; then the other one finishes the request."""
    given = {"RED_DECODE_WORKERS": "1", "RED_KEY_LEASE": "8"}
    first = red(kafka, tmp_path, RED_CRASH_AT="red.in-transaction:stop", **given)
    with running(first), running(red(kafka, tmp_path, **given)) as second:
        async with an_api(kafka, first, second) as api:
            client, key = KeyedClient(kafka, api), a_key()
            paused = asyncio.create_task(client.post(first, key))
            await asyncio.to_thread(until_paused, first.process.pid)
            status, problem = await client.post(second, key)
            assert (status, problem["code"]) == (409, "idempotency_in_progress")

            status, answer = await client.until_answered(second, key)
            first.process.send_signal(signal.SIGCONT)
            late, problem = await paused

            assert status == 200
            assert (late, problem["code"]) == (503, "unknown_outcome")
            assert await client.post(first, key) == (status, answer)
            assert [event["image_id"] for event in await client.events()] == [answer["image_id"]]


async def test_the_intent_of_a_request_is_an_object_that_names_its_event(client, service):
    key = a_key()
    _, answer = await client.post(service, key)
    folder = service.folder / "data" / "images" / "keys" / client.api.client_id
    [intent] = (folder / hashlib.sha256(key.encode()).hexdigest()).glob("000000")

    stored = json.loads(intent.read_text())

    assert [planned["image_id"] for planned in stored["planned"]] == [answer["image_id"]]


async def test_an_answer_is_forgotten_after_a_day(client, service):
    key = a_key()
    _, first = await client.post(service, key)
    folder = service.folder / "data" / "images" / "keys" / client.api.client_id
    [path] = (folder / hashlib.sha256(key.encode()).hexdigest()).glob("*.answer")
    stored = json.loads(path.read_text())
    path.write_text(json.dumps(stored | {"at": "2020-01-01T00:00:00Z"}))

    status, again = await client.post(service, key, b.a_png(b.WHITE))

    assert status == 200
    assert again["image_id"] != first["image_id"]
    assert (await client.post(service, key, b.a_png(b.WHITE)))[1] == again


async def test_a_trace_continues_in_the_event(client, service):
    trace = uuid.uuid4().hex
    for headers in ({"traceparent": f"00-{trace}-b7ad6b7169203331-01"}, {"traceparent": "nonsense"}, {}):
        await client.api.call(
            "POST", f"{service.url}/red", data=IMAGE, headers={"Content-Type": "image/png"} | headers
        )
    await client.post(service, a_key(), traceparent=f"00-{trace}-b7ad6b7169203331-00")
    traces = [dict(one.headers)["traceparent"].decode() for one in await client.records()]

    assert [one.split("-")[1] == trace for one in traces] == [True, False, False, True]
    assert all(len(one) == 55 and "b7ad6b7169203331" not in one for one in traces)


async def test_somebody_elses_open_transaction_is_not_our_event(client, service, kafka):
    """The log is read to its end, uncommitted records included, and never past it."""
    key = a_key()
    _, answer = await client.post(service, key)
    producer = AIOKafkaProducer(bootstrap_servers=kafka, transactional_id=uuid.uuid4().hex)
    async with producer:
        await producer.begin_transaction()
        partition = partition_of(client.api.client_id, PARTITIONS)
        await producer.send_and_wait(topics.MEASUREMENTS, b"{}", b"x", partition=partition)
        assert await client.post(service, key) == (200, answer)
        await producer.abort_transaction()


@pytest.mark.system
async def test_kafka_gone_in_between_changes_nothing(tmp_path):
    broker = new_kafka(tmp_path / "kafka", free_port(), free_port())
    try:
        await asyncio.to_thread(broker.start)
        await broker.until_ready()
        await ensure_topics(KafkaConnection(broker.bootstrap), PARTITIONS)
        with running(red(broker.bootstrap, tmp_path, RED_DECODE_WORKERS="1")) as service:
            async with an_api(broker.bootstrap, service) as api:
                client, keys = KeyedClient(broker.bootstrap, api), [a_key() for _ in range(3)]
                assert (await client.post(service, keys[0]))[0] == 200
                await asyncio.to_thread(broker.stop)
                for status, problem in await asyncio.gather(*(client.post(service, key) for key in keys[1:])):
                    assert (status, problem["code"] in ("not_stored", "unknown_outcome")) == (503, True)
                assert (await client.post(service, keys[0]))[0] == 200, "an answer needs no Kafka"
                await asyncio.to_thread(broker.start)
                await broker.until_ready()

                answers = [await client.until_answered(service, key) for key in keys]

                assert [status for status, _ in answers] == [200] * 3
                assert [await client.post(service, key) for key in keys] == answers
                ids = [answer["image_id"] for _, answer in answers]
                assert sorted(event["image_id"] for event in await client.events()) == sorted(ids)
    finally:
        broker.stop()
