"""`/v1/alerts/stream` of running workers: any of them streams any client's alerts, from any position on."""

import asyncio
import json
import time
import uuid
from contextlib import ExitStack, asynccontextmanager

import aiohttp
import msgspec
import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from red_stats import topics
from tests.builders import a_client_of, an_alert
from tests.conftest import PARTITIONS, a_broker
from tests.receiver import Receiver
from tests.services import SECRET_KEYS, a_key, an_api, bearer, published, running, worker
from tests.system.records import measured

NOWHERE = f"{PARTITIONS}:7"  # a measurement of no partition here: none can have lost its state with it
REVOKED_AT = "2026-01-02T00:00:00.000Z"


@pytest.fixture(scope="module")
def kafka(unverified_kafka):
    return unverified_kafka


@pytest.fixture(scope="module")
def workers(kafka, tmp_path_factory):
    """Two workers; the alerts about measurements are raised by whichever holds the client."""
    with ExitStack() as stack:
        folders = [tmp_path_factory.mktemp("alert-stream") for _ in range(2)]
        yield [stack.enter_context(running(worker(kafka, folder, role="live"))) for folder in folders]


@pytest.fixture(scope="module")
def one(workers):
    return workers[0]


@pytest.fixture
async def client(kafka, workers):
    async with an_api(kafka, *workers) as api:
        yield api


@asynccontextmanager
async def streamed(api, service, last=None, **given):
    headers = bearer(api.key) | ({} if last is None else {"Last-Event-ID": last})
    url = f"{service.url}/v1/alerts/stream"
    async with api.session.get(url, headers=headers, params=given, timeout=None) as stream:
        yield stream


async def events(stream, count):
    """So many events as (id, alert)."""
    found = []
    while len(found) < count:
        lines = (await stream.content.readuntil(b"\n\n")).decode().split("\n")
        if lines[0].startswith(":"):
            continue
        assert [line.partition(":")[0] for line in lines] == ["event", "id", "data", "", ""]
        assert lines[0] == "event: alert"
        found.append((lines[1].removeprefix("id: "), json.loads(lines[2].removeprefix("data: "))))
    return found


async def refused(api, service, last=None, **given):
    async with streamed(api, service, last, **given) as answer:
        body = await answer.json()
        assert answer.content_type == "application/problem+json"
        return answer.status, body["code"]


async def raised(kafka, client_id, count, *, transaction=None, **changes):
    """So many alerts straight onto the topic; their positions and ids."""
    options = {"transactional_id": f"t-{uuid.uuid4()}"} if transaction else {}
    async with AIOKafkaProducer(bootstrap_servers=kafka, enable_idempotence=True, **options) as producer:
        if transaction:
            await producer.begin_transaction()
        ids = [str(uuid.uuid4()) for _ in range(count)]
        alerts = [an_alert(id=one, **{"position": NOWHERE} | changes) for one in ids]
        sent = [await producer.send(topics.ALERTS, alert, client_id.encode()) for alert in alerts]
        done = [await future for future in sent]
        if transaction == "abort":
            await producer.abort_transaction()
        elif transaction:
            await producer.commit_transaction()
    return [(f"{at.partition}:{at.offset}", one) for at, one in zip(done, ids, strict=True)]


def ids_of(found):
    return [(position, alert["id"]) for position, alert in found]


async def test_any_worker_streams_the_alerts_of_any_client_as_they_are_raised(kafka, workers):
    for number in range(PARTITIONS):
        client_id = a_client_of(number, PARTITIONS, prefix=f"alerted-{uuid.uuid4().hex[:6]}")
        async with an_api(kafka, *workers, client_id=client_id) as api:
            subscription = await api.subscribed(workers[0], "http://127.0.0.1:9/", max_age=None)
            for asked in workers:
                async with streamed(api, asked) as stream:
                    assert (stream.content_type, stream.headers["Cache-Control"]) == (
                        "text/event-stream", "no-store",
                    )  # fmt: skip
                    positions = await measured(kafka, client_id, [0.9, 0.1, 0.8])
                    found = [alert for _, alert in await events(stream, 2)]
                    assert [alert["position"] for alert in found] == [positions[0], positions[2]]
                    assert {alert["subscription_id"] for alert in found} == {subscription["id"]}
                    assert found[1]["prev_seq"] == found[0]["seq"]


async def test_a_stream_resumes_behind_a_position_on_any_worker_and_goes_on_live(kafka, workers, client):
    before = await raised(kafka, client.client_id, 700)
    for asked in workers:
        async with streamed(client, asked, last=before[0][0]) as stream:
            assert ids_of(await events(stream, len(before) - 1)) == before[1:]
            more = await raised(kafka, client.client_id, 3, transaction="commit")
            assert ids_of(await events(stream, 3)) == more
            before += more


async def test_the_header_wins_over_the_parameter(kafka, one, client):
    made = await raised(kafka, client.client_id, 3)
    async with streamed(client, one, last=made[1][0], after=made[0][0]) as stream:
        assert ids_of(await events(stream, 1)) == made[2:]
    async with streamed(client, one, last="", after=made[0][0]) as stream:
        assert ids_of(await events(stream, 2)) == made[1:]


async def test_what_an_aborted_transaction_wrote_is_left_out_and_the_unreadable_is_passed_over(
    kafka, one, client
):
    first = await raised(kafka, client.client_id, 1)
    async with streamed(client, one) as live:
        await raised(kafka, client.client_id, 2, transaction="abort")
        async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
            await producer.send_and_wait(topics.ALERTS, b"nothing", client.client_id.encode())
            await producer.send_and_wait(topics.ALERTS, None, client.client_id.encode())
        last = await raised(kafka, client.client_id, 1)
        assert ids_of(await events(live, 1)) == last
        async with streamed(client, one, after=first[0][0]) as resumed:
            assert ids_of(await events(resumed, 1)) == last


async def test_only_the_alerts_of_the_subscription_asked_for_come(kafka, one, client):
    subscriptions = [
        (await client.subscribed(one, "http://127.0.0.1:9/", threshold, max_age=None))["id"]
        for threshold in (0.2, 0.6)
    ]
    async with streamed(client, one, subscription=subscriptions[1]) as stream:
        await measured(kafka, client.client_id, [0.5, 0.9])
        [(_, alert)] = await events(stream, 1)
        assert (alert["subscription_id"], alert["red"]) == (subscriptions[1], 0.9)


async def test_a_killed_worker_costs_its_readers_no_alert(kafka, tmp_path):
    with running(worker(kafka, tmp_path, role="live")) as service:
        async with an_api(kafka, service) as api:
            async with streamed(api, service) as stream:
                made = await raised(kafka, api.client_id, 5)
                seen = ids_of(await events(stream, 2))
                service.kill()
            made += await raised(kafka, api.client_id, 5)
            service.start()
            service.until_ready()
            async with streamed(api, service, last=seen[-1][0]) as stream:
                seen += ids_of(await events(stream, 8))
                assert seen == made


async def test_a_stream_ends_properly_when_its_worker_stops(kafka, tmp_path):
    service = worker(kafka, tmp_path, role="live").until_ready()
    async with an_api(kafka, service) as api, streamed(api, service) as stream:
        stopping = asyncio.create_task(asyncio.to_thread(service.stop))
        assert await stream.content.read() == b""
        await stopping
    assert service.process.returncode == 0
    assert "Unclosed" not in service.log.read_text()


async def test_both_streams_of_a_client_share_its_twenty_places(one, client):
    async with asyncio.timeout(60):
        streams = []
        for number in range(20):
            path = "live/stream" if number % 2 else "alerts/stream"
            streams.append(
                await client.session.get(f"{one.url}/v1/{path}", headers=bearer(client.key), timeout=None)
            )
            assert streams[-1].status == 200
        assert await refused(client, one) == (429, "too_many_streams")
        streams.pop().close()
        while True:
            async with streamed(client, one) as again:
                if again.status == 200:
                    break
        for stream in streams:
            stream.close()


@pytest.mark.parametrize("change", [{"revoked_at": REVOKED_AT}, {"scopes": ("measure",)}])
async def test_a_stream_ends_within_a_second_of_its_key(kafka, one, change):
    client_id, key, record = await a_key(kafka)
    async with an_api(kafka, one, client_id=client_id) as api:
        api.key = key
        async with streamed(api, one) as stream:
            changed = msgspec.structs.replace(record, **change)
            mac = SECRET_KEYS.sign(topics.API_KEYS, changed.signed_bytes)
            await published(kafka, msgspec.structs.replace(changed, mac=mac))
            revoked = time.monotonic()
            assert await stream.content.read() == b""
            assert time.monotonic() - revoked < 5  # 1 s, on a machine that has nothing else to do


async def test_a_reader_who_reads_nothing_is_cut_off_and_can_resume(kafka, one, client):
    [first] = await raised(kafka, client.client_id, 1)
    cut_off = "a response of /v1/alerts/stream was cut off"
    before = one.log.read_text().count(cut_off)
    async with streamed(client, one) as stream:
        made = await raised(kafka, client.client_id, 600, note="x" * 50_000)
        async with asyncio.timeout(60):
            while one.log.read_text().count(cut_off) == before:  # noqa: ASYNC110 it says so nowhere else
                await asyncio.sleep(0.1)
        with pytest.raises(aiohttp.ClientError):
            await stream.read()
    async with streamed(client, one, after=first[0]) as stream:
        assert ids_of(await events(stream, len(made))) == made


async def test_what_is_wrong_with_a_request_is_told(kafka, one, client, api, stats):
    [(position, _)] = await raised(kafka, client.client_id, 1)
    partition, _, offset = position.partition(":")
    for bad in ("x", "1", f"{partition}:-1", f"{partition}:+{offset}", position + " ", "", "²:1"):
        assert await refused(client, one, after=bad) == (400, "invalid_parameter")
    assert await refused(client, one, last="x", after=position) == (400, "invalid_parameter")
    beyond = f"{partition}:{10**17}"
    assert await refused(client, one, after=beyond) == (400, "invalid_parameter")
    assert await refused(client, one, last=beyond) == (400, "invalid_parameter")
    other = f"{(int(partition) + 1) % PARTITIONS}:0"
    assert await refused(client, one, after=other) == (400, "invalid_parameter")
    assert await refused(client, one, seq="1") == (400, "unknown_parameter")
    assert await refused(api, stats, subscription=str(uuid.uuid4())) == (404, "not_found")
    assert await refused(client, one, client="somebody") == (403, "admin_only")
    async with an_api(kafka, one, scopes=("statistics", "measure")) as without:
        assert await refused(without, one) == (403, "scope_missing")
    assert (await client.call("POST", f"{one.url}/v1/alerts/stream"))[0] == 405
    async with client.session.get(f"{one.url}/v1/alerts/stream") as answer:
        assert answer.status == 401


async def test_an_admin_names_the_client(kafka, one, client):
    async with (
        an_api(kafka, one, scopes=("admin",)) as admin,
        streamed(admin, one, client=client.client_id) as stream,
    ):
        made = await raised(kafka, client.client_id, 1)
        assert ids_of(await events(stream, 1)) == made


async def test_each_alert_of_a_digest_is_an_event(kafka, api, stats):
    async with Receiver() as receiver:
        await api.subscribed(stats, receiver.url, max_age=None, min_interval=2)
        async with streamed(api, stats) as stream:
            await measured(kafka, api.client_id, [0.9] * 5)
            assert [alert["seq"] for _, alert in await events(stream, 5)] == [1, 2, 3, 4, 5]
            await receiver.until(2)
            assert receiver.got[1].body["type"] == "red.digest"


@pytest.fixture
def broker(tmp_path):
    with a_broker(tmp_path / "broker") as bootstrap:
        yield bootstrap


async def test_a_position_that_kafka_no_longer_has_is_gone(broker, tmp_path):
    with running(worker(broker, tmp_path, role="live")) as service:
        async with an_api(broker, service) as api:
            made = await raised(broker, api.client_id, 5)
            partition = int(made[0][0].partition(":")[0])
            client = AIOKafkaAdminClient(bootstrap_servers=broker)
            await client.start()
            before = {TopicPartition(topics.ALERTS, partition): RecordsToDelete(before_offset=3)}
            await client.delete_records(before)
            await client.close()
            for given in ({"after": made[0][0]}, {"last": made[1][0]}):
                assert await refused(api, service, **given) == (410, "position_gone")
            async with streamed(api, service, after=made[2][0]) as stream:  # nothing is missing behind it
                assert ids_of(await events(stream, 2)) == made[3:]


async def test_what_has_been_erased_is_left_out(kafka, api, stats):
    await api.subscribed(stats, "http://127.0.0.1:9/", max_age=None)
    async with streamed(api, stats) as stream:
        await measured(kafka, api.client_id, [0.9, 0.8])
        (first, _), (_, second) = await events(stream, 2)
    async with an_api(kafka, stats, scopes=("admin",)) as admin:
        url = f"{stats.url}/v1/clients/{api.client_id}/data"
        assert (await admin.call("DELETE", url))[0] == 200
        partition = second["position"].partition(":")[0]
        made = await raised(kafka, api.client_id, 1, position=f"{partition}:{10**9}")
        async with streamed(admin, stats, after=first, client=api.client_id) as stream:
            assert ids_of(await events(stream, 1)) == made
