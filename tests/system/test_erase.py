"""A client is erased: nothing of it is left, nothing brings it back, and nobody else loses anything."""

import asyncio
import json
import uuid

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from red_common.kafka.connection import KafkaConnection
from red_common.kafka.partitioner import partition_of
from red_stats import topics
from red_stats.domain.erase_report import is_signed
from red_stats.kafka.changelog_loader import read_to_end
from red_stats.store.query_server import RemoteStore
from red_stats.tables.digests import Digests
from tests.conftest import PARTITIONS, a_broker
from tests.receiver import Receiver
from tests.red_service import builders as b
from tests.services import ALL, SECRET_KEYS, a_key, an_api, red, running, verified, worker
from tests.system.records import measured
from tests.system.test_operating import cli
from tests.system.test_rebuild import TABLES, changelogs, rebuilt, stored

FAILPOINTS = ("live.before-transaction", "live.in-transaction", "live.after-transaction", "live.before-ack",
    "record.before-erase", "record.after-erase")  # fmt: skip

LATER = "2100-01-01T00:00:00.000Z"


@pytest.fixture
def broker(tmp_path):
    with a_broker(tmp_path / "kafka") as bootstrap:  # of its own: every partition is rebuilt
        yield bootstrap


async def commanded(bootstrap, client_id, command_id=None):
    """An erase straight onto the topic."""
    fields = {"command": "erase", "command_id": command_id or str(uuid.uuid4()), "client_id": client_id}
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        value = json.dumps(fields).encode()
        await producer.send_and_wait(topics.SUBSCRIPTION_COMMANDS, value, client_id.encode())
    return fields["command_id"]


async def answers_to(bootstrap, client_id, command_id, count=1):
    """The first answers to a command."""
    tp = TopicPartition(topics.COMMAND_RESULTS, partition_of(client_id, PARTITIONS))
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, isolation_level="read_committed", auto_offset_reset="earliest"
    )
    await consumer.start()
    found = []
    try:
        consumer.assign([tp])
        async with asyncio.timeout(60):
            while len(found) < count:
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    values = [json.loads(record.value) for record in records]
                    found += [value for value in values if value["command_id"] == command_id]
    finally:
        await consumer.stop()
    return found


def rows_of(stats, client_id):
    store = RemoteStore(stats.folder / "data")
    sql = "SELECT count() FROM red.%s WHERE client_id = {c:String}"
    return {table: store.query(sql % table, {"c": client_id})[0][0] for table in (*TABLES, "daily")}


async def a_history(broker, api, stats, receiver):
    """Images and alerts of a client, with a subscription that was deleted since; the last position."""
    gone = await api.subscribed(stats, receiver.url, 0.5)
    await api.subscribed(stats, receiver.url, 0.5, min_interval=3600)  # all but its first alert wait
    await measured(broker, api.client_id, [n % 20 / 20 for n in range(60)])
    await receiver.until(lambda receiver: len(receiver.alerts(gone["id"])) >= 27)
    await api.call("DELETE", f"{stats.url}/v1/subscriptions/{gone['id']}")
    kept = await api.subscribed(stats, receiver.url, 0.5)
    [*_, position] = await measured(broker, api.client_id, [0.9, 0.2])
    await api.call("GET", f"{stats.url}/v1/alerts?at_least={position}")
    await api.ended(stats, kept)
    return position


async def waiting(bootstrap):
    """The clients of which alerts wait for a digest."""
    table = Digests()
    tps = [TopicPartition(topics.DIGESTS_CHANGELOG, number) for number in range(PARTITIONS)]
    load = {tp: lambda record: record.key[:1] == b"!" or table.load(record.key, record.value) for tp in tps}
    await read_to_end(KafkaConnection(bootstrap), load)
    assert set(table.alerts) <= set(table), "alerts of an interval that is gone"
    return {interval.client_id for interval in table.values() if interval.count}


async def shown(api, stats, position=None):
    """What the views tell a client of its images, alerts, deliveries and subscriptions."""
    at = f"at_least={position}" if position else ""
    base = stats.url
    _, counted = await api.call("GET", f"{base}/v1/statistics?{ALL}&{at}")
    _, live = await api.call("GET", f"{base}/v1/live?{at}")
    _, series = await api.call("GET", f"{base}/v1/statistics/distribution?{ALL}")
    lists = ["/v1/measurements", "/v1/alerts", "/v1/deliveries", "/v1/subscriptions"]
    items = [len((await api.call("GET", base + path))[1]["items"]) for path in lists]
    return [counted["images"], live["totals"]["24h"]["images"], series["images"], *items]


async def test_an_erased_client_is_gone_everywhere_and_nothing_brings_it_back(broker, tmp_path):
    with running(worker(broker, tmp_path)) as stats:
        async with an_api(broker, stats) as api, an_api(broker, stats) as other, Receiver() as receiver:
            _, admin, _ = await a_key(broker, "operator", ("admin",))
            position = await a_history(broker, api, stats, receiver)
            theirs = await a_history(broker, other, stats, receiver)
            assert 0 not in (await shown(api, stats, position))[:6]
            before = await shown(other, stats, theirs)
            assert await waiting(broker) == {api.client_id, other.client_id}

            asked = await commanded(broker, api.client_id)
            [answer] = await answers_to(broker, api.client_id, asked)

            assert int(answer["erased"]["before"].partition(":")[2]) > int(position.partition(":")[2])
            code, report = verified(stats)
            assert (code, report["differences"]) == (0, [])
            assert await shown(api, stats) == [0] * 7
            assert await waiting(broker) == {other.client_id}
            assert set(rows_of(stats, api.client_id).values()) == {0}
            assert await shown(other, stats) == before

            tables, rows = await changelogs(broker), stored(stats)
            code, out, err = rebuilt(stats, admin, "all")
            assert code == 0, err
            assert await changelogs(broker) == tables
            assert [one["changed"] for one in json.loads(out)["live"]["partitions"]] == [0] * PARTITIONS
            assert stored(stats) == rows
            assert verified(stats)[0] == 0

            back = await api.subscribed(stats, receiver.url, 0.5)
            [again] = await measured(broker, api.client_id, [0.9])
            await api.ended(stats, back)
            assert await shown(api, stats, again) == [1] * 7
            _, alerts = await api.call("GET", f"{stats.url}/v1/alerts")
            assert alerts["items"][0]["seq"] == 1
            assert verified(stats)[0] == 0


@pytest.mark.parametrize("point", FAILPOINTS)
async def test_a_crash_at_any_point_of_an_erase_leaves_nothing(kafka, tmp_path, point):
    with running(worker(kafka, tmp_path)) as stats:
        async with an_api(kafka, stats) as api, Receiver() as receiver:
            position = await a_history(kafka, api, stats, receiver)
            stats.stop()
            stats.start(RED_CRASH_AT=point)
            if point.startswith("record"):
                stats.until_ready()
            asked = await commanded(kafka, api.client_id)
            await asyncio.to_thread(stats.process.wait, 90)
            assert stats.process.returncode == -9

            stats.start()
            stats.until_ready()
            [_] = await answers_to(kafka, api.client_id, asked)

            code, report = verified(stats)
            assert (code, report["differences"]) == (0, [])
            assert await shown(api, stats, position) == [0] * 7
            assert api.client_id not in await waiting(kafka)
            assert set(rows_of(stats, api.client_id).values()) == {0}


async def test_a_repeated_command_gets_its_first_answer_and_erases_nothing_more(kafka, tmp_path):
    with running(worker(kafka, tmp_path)) as stats:
        async with an_api(kafka, stats) as api:
            asked = await commanded(kafka, api.client_id)
            [first] = await answers_to(kafka, api.client_id, asked)
            [position] = await measured(kafka, api.client_id, [0.9])

            await commanded(kafka, api.client_id, asked)

            assert await answers_to(kafka, api.client_id, asked, 2) == [first, first]
            assert (await shown(api, stats, position))[:3] == [1, 1, 1]


def files_of(service, client_id):
    """What RED has stored of a client, images and keyed requests."""
    folder = service.folder / "data" / "images"
    return [path for path in folder.rglob("*") if path.is_file() and f"/{client_id}/" in str(path)]


async def until_refused(api, url):
    async with asyncio.timeout(30):
        while (await api.call("GET", url))[0] != 401:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def until_none(find):
    async with asyncio.timeout(30):
        while find():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_who_erases_over_http_gets_a_signed_report_and_nothing_is_left(kafka, tmp_path):
    with (
        running(red(kafka, tmp_path, RED_DECODE_WORKERS="1")) as service,
        running(worker(kafka, tmp_path)) as stats,
    ):
        async with (
            an_api(kafka, service, stats) as api,
            an_api(kafka, service, stats) as other,
            an_api(kafka, stats, scopes=("admin",)) as admin,
            Receiver() as receiver,
        ):
            subscription = await api.subscribed(stats, receiver.url, 0.5)
            headers = {"Content-Type": "image/png", "Idempotency-Key": "once"}
            for one in (api, other):
                status, item = await one.call(
                    "POST", f"{service.url}/red", data=b.a_png(b.RED), headers=headers
                )
                assert status == 200
                for path in ("alerts", "measurements"):  # the report tells what is recorded
                    await one.call("GET", f"{stats.url}/v1/{path}?at_least={item['position']}")
            await api.ended(stats, subscription)
            assert len(files_of(service, api.client_id)) == 4  # bytes, id, intent, answer
            address = f"{stats.url}/v1/clients/{api.client_id}/data"

            assert (await api.call("DELETE", address))[1]["code"] == "admin_only"
            nobody = f"{stats.url}/v1/clients/nobody-{uuid.uuid4().hex[:8]}/data"
            assert (await admin.call("DELETE", nobody))[0] == 404
            assert (await admin.call("DELETE", f"{stats.url}/v1/clients/NO/data"))[0] == 404
            assert (await admin.call("DELETE", f"{address}?client=x"))[0] == 400
            status, report = await admin.call("DELETE", address)

            assert status == 200, report
            assert report["removed"] == {
                "measurements": 1, "alerts": 1, "deliveries": 1, "subscriptions": 1, "keys": 1,
            }  # fmt: skip
            assert is_signed(report, SECRET_KEYS)
            assert not is_signed(report | {"client_id": "x"}, SECRET_KEYS)
            assert {"topic": "red.measurements", "until": None} in report["stays"]
            for url in (f"{service.url}/red/images/x", f"{stats.url}/v1/live"):
                await until_refused(api, url)
            await until_none(lambda: files_of(service, api.client_id))
            assert len(files_of(service, other.client_id)) == 4
            assert verified(stats)[0] == 0
            assert set(rows_of(stats, api.client_id).values()) == {0}
            status, again = await admin.call("DELETE", address)
            assert (status, set(again["removed"].values())) == (200, {0})

            service.stop()
            service.start()
            service.until_ready()
            async with an_api(kafka, service, stats, client_id=api.client_id, created_at=LATER) as back:
                item = await back.sent(service, b.a_png(b.RED))
                assert (await shown(back, stats, item["position"]))[0] == 1
                assert (await back.call("GET", f"{service.url}/red/images/{item['image_id']}"))[0] == 200


async def test_the_command_asks_before_it_erases_and_a_report_can_be_checked(kafka, tmp_path):
    with running(worker(kafka, tmp_path)) as stats:
        async with an_api(kafka, stats) as api, an_api(kafka, stats, scopes=("admin",)) as admin:
            [position] = await measured(kafka, api.client_id, [0.9])
            assert (await shown(api, stats, position))[0] == 1
            given = ["--url", stats.url, "--key", admin.key]

            for typed in ("", "yes\n"):
                code, out, err = await cli(stats, "erase", api.client_id, *given, typed=typed)
                assert (code, len(err.splitlines())) == (1, 1)
                assert "1 images" in out
            assert (await shown(api, stats))[0] == 1
            code, out, err = await cli(stats, "erase", "nobody", "--yes", *given)
            assert (code, len(err.splitlines())) == (1, 1)
            code, out, err = await cli(stats, "erase", "NO", "--yes", *given)
            assert (code, len(err.splitlines())) == (2, 1)
            assert (await cli(stats, "erase"))[0] == 2

            code, out, err = await cli(stats, "erase", api.client_id, *given, "--json", "--yes")

            assert code == 0, err
            report = json.loads(out)
            assert report["removed"]["measurements"] == 1
            path = tmp_path / "report.json"
            path.write_text(out)
            assert (await cli(stats, "erase", "--check", str(path)))[0] == 0
            path.write_text(json.dumps(report | {"client_id": "other"}))
            code, _, err = await cli(stats, "erase", "--check", str(path))
            assert (code, len(err.splitlines())) == (1, 1)
            code, out, err = await cli(stats, "erase", api.client_id, *given, typed=f"{api.client_id}\n")
            assert code == 0, err
            assert "red.measurements" in out
