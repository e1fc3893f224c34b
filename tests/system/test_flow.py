"""The whole flow on real Kafka and chDB, RED and the worker as processes: an image in, everything out."""

import asyncio
import base64
import json
import time
from collections import Counter

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from jsonschema import Draft202012Validator

from red_common.api_keys import new_key
from red_common.events import rfc3339
from red_common.kafka.connection import KafkaConnection
from red_common.secret_keys import SecretKeys
from red_stats import topics
from red_stats.domain.measurements import from_ms
from red_stats.kafka.changelog_loader import read_to_end
from tests.builders import a_measurement
from tests.conftest import PARTITIONS
from tests.openapi import SCHEMAS
from tests.receiver import Receiver
from tests.red_service import builders as b
from tests.services import ALL, an_api, bearer, published, verified
from tests.system.records import measured, until_records

NOBODYS = "01930000-0000-4000-8000-000000000000"  # a constant: every run has the same names


async def test_an_image_is_counted_recorded_and_delivered_with_a_signature_that_holds(api, service, stats):
    async with Receiver() as receiver:
        subscription = await api.subscribed(stats, receiver.url, 0.5, description="roses")
        receiver.secrets.append(subscription["secret"])

        item = await api.sent(service, b.a_png(b.RED))
        await api.sent(service, b.a_png(b.WHITE))
        await receiver.until(1)

        [got] = receiver.got
        assert got.verified
        assert got.body["type"] == "red.alert"
        assert got.body["timestamp"] == item["measured_at"]
        assert got.body["data"] == {
            "id": got.body["data"]["id"], "subscription_id": subscription["id"], "version": 1, "seq": 1,
            "prev_seq": 0, "image_id": item["image_id"], "red": 1, "threshold": 0.5,
            "measured_at": item["measured_at"], "position": item["position"],
        }  # fmt: skip
        position = f"at_least={item['position']}"
        status, live = await api.call("GET", f"{stats.url}/v1/live?{position}")
        assert status == 200
        assert live["totals"]["1h"]["images"] in (1, 2)
        assert live["subscriptions"][0]["over"] == 1
        status, counted = await api.call("GET", f"{stats.url}/v1/statistics?{ALL}&threshold=0.5&{position}")
        assert (status, counted["over"], counted["threshold"]) == (200, 1, 0.5)
        status, alerts = await api.call("GET", f"{stats.url}/v1/alerts?{position}")
        assert (status, alerts["items"]) == (200, [got.body["data"]])
        [delivery] = await api.ended(stats, subscription)
        assert delivery["alert_id"] == got.body["data"]["id"]
        assert delivery["webhook_id"] == got.id
        assert (delivery["state"], len(delivery["attempts"])) == ("delivered", 1)
        assert delivery["attempts"][0]["status"] == 200


async def test_every_answer_equals_brute_force(api, stats, kafka):
    reds = [round(n * 0.0137 % 1, 4) for n in range(500)]
    positions = await measured(kafka, api.client_id, reds)
    thresholds = [0, 0.25, 0.3333, 1]
    query = "&".join(f"threshold={t}" for t in thresholds)

    _, counted = await api.call("GET", f"{stats.url}/v1/statistics?{ALL}&{query}&at_least={positions[-1]}")
    _, live = await api.call("GET", f"{stats.url}/v1/live?at_least={positions[-1]}")

    assert counted["images"] == 500
    expected = [{"threshold": t, "over": sum(red > t for red in reds)} for t in thresholds]
    assert counted["thresholds"] == expected
    assert "over" not in counted
    assert live["totals"]["24h"]["images"] == 500
    histogram = [0] * 100
    for value in reds:
        histogram[min(round(value * 10000) // 100, 99)] += 1
    assert live["histogram"] == histogram
    assert sum(window["images"] for window in live["windows"]) == 500
    assert live["as_of"]["offset"] >= int(positions[-1].split(":")[1])


async def test_the_edges_of_a_range_are_exact_to_the_millisecond(api, stats, kafka):
    at = 1_700_000_000_123
    [position] = await _at(kafka, api.client_id, at)
    for start, end, images in (
        ("2023-11-14T22:13:20.123Z", "2023-11-14T22:13:20.124Z", 1),
        ("2023-11-14T22:13:20.122Z", "2023-11-14T22:13:20.123Z", 0),
        ("2023-11-14T22:13:20.123Z", "2023-11-14T22:13:20.123Z", 0),
        ("2023-11-15T00:13:20.123%2B02:00", "2023-11-14T22:14:00Z", 1),
    ):
        url = f"{stats.url}/v1/statistics?from={start}&to={end}&at_least={position}"
        status, counted = await api.call("GET", url)
        assert (status, counted["images"]) == (200, images)


async def _at(kafka, client_id, at):
    async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
        value = a_measurement(client_id, 0.5, at)
        done = await producer.send_and_wait(topics.MEASUREMENTS, value, client_id.encode())
    return [f"{done.partition}:{done.offset}"]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/statistics?from=2026-01-01T00:00:00Z", 400, "invalid_parameter"),
        ("/v1/statistics?from=2026-01-01T00:00:00&to=2027-01-01T00:00:00Z", 400, "invalid_parameter"),
        ("/v1/statistics?from=2027-01-01T00:00:00Z&to=2026-01-01T00:00:00Z", 400, "invalid_parameter"),
        ("/v1/statistics?from=1969-01-01T00:00:00Z&to=2026-01-01T00:00:00Z", 400, "invalid_parameter"),
        (f"/v1/statistics?{ALL}&threshold=red", 400, "invalid_parameter"),
        (f"/v1/statistics?{ALL}&threshold=1.5", 422, "threshold_out_of_range"),
        (f"/v1/statistics?{ALL}&threshold=0.12345", 422, "threshold_out_of_range"),
        (f"/v1/statistics?{ALL}&from=2026-01-01T00:00:00Z", 400, "repeated_parameter"),
        (f"/v1/statistics?{ALL}&colour=red", 400, "unknown_parameter"),
        ("/v1/live?at_least=9:1", 400, "invalid_parameter"),
        ("/v1/live?at_least=x", 400, "invalid_parameter"),
        ("/v1/live?client=other", 403, "admin_only"),
        ("/v1/alerts?after=3", 400, "invalid_parameter"),
        (f"/v1/alerts?subscription={NOBODYS}", 404, "not_found"),
        ("/v1/alerts?order=oldest", 400, "invalid_parameter"),
        ("/v1/alerts?subscription=x&order=any", 400, "invalid_parameter"),
        ("/v1/alerts?subscription=x&order=newest&after=3", 400, "invalid_parameter"),
        ("/v1/alerts?subscription=x&cursor=3", 400, "invalid_parameter"),
        ("/v1/alerts?subscription=x&order=newest", 404, "not_found"),
        ("/v1/deliveries?state=lost", 400, "invalid_parameter"),
        (f"/v1/deliveries/{NOBODYS}", 404, "not_found"),
        (f"/v1/subscriptions/{NOBODYS}", 404, "not_found"),
        ("/v1/nothing", 404, "not_found"),
    ],
)
async def test_a_bad_question_gets_a_clear_answer(api, stats, path, status, code):
    given, problem = await api.call("GET", stats.url + path)
    assert (given, problem["code"], problem["status"]) == (status, code, status)
    assert problem["type"] == f"urn:red:problem:{code}"


async def test_what_is_not_folded_in_yet_is_a_503_after_five_seconds(api, stats):
    started = time.monotonic()
    paths = ("/v1/live?", f"/v1/statistics?{ALL}&", "/v1/alerts?")
    url = "at_least=0:999999999"
    asked = [api.call("GET", f"{stats.url}{path}{url}", patient=False) for path in paths]
    answers = await asyncio.gather(*asked)
    assert {(status, problem["code"]) for status, problem in answers} == {(503, "not_yet")}
    assert 5 <= time.monotonic() - started < 7


async def test_subscriptions_are_made_changed_and_deleted(api, stats):
    url = f"{stats.url}/v1/subscriptions"
    made = await api.subscribed(stats, "https://example.com/h", 0.1)
    assert made["secret"].startswith("whsec_")
    assert (made["version"], made["enabled"], made["description"]) == (1, True, None)
    one = f"{url}/{made['id']}"
    status, changed = await api.call("PATCH", one, json={"threshold": 0.2, "description": "x"})
    assert (status, changed["version"], changed["threshold"], changed["description"]) == (200, 2, 0.2, "x")
    assert "secret" not in changed
    assert (await api.call("GET", one))[1].items() >= changed.items()
    assert (await api.call("GET", url))[1] == {"items": [changed], "next": None}
    status, rotated = await api.call("POST", f"{one}/rotate-secret")
    assert (status, rotated["version"]) == (200, 3)
    assert rotated["secret"] not in (made["secret"], None)
    assert (await api.call("DELETE", one))[0] == 204
    assert (await api.call("GET", one))[0] == 404
    assert (await api.call("DELETE", one))[0] == 404
    for body, status, code in (
        (b"{", 400, "invalid_body"),
        (b'{"webhook_url": "https://example.com/"}', 400, "invalid_body"),
        (b'{"webhook_url": "https://example.com/", "threshold": "1"}', 400, "invalid_body"),
        (b'{"webhook_url": "https://example.com/", "threshold": 0.5, "x": 1}', 400, "invalid_body"),
        (b'{"webhook_url": "https://example.com/", "threshold": 1.01}', 422, "threshold_out_of_range"),
        (b'{"webhook_url": "https://example.com/", "threshold": 0.00001}', 422, "threshold_out_of_range"),
        (b'{"webhook_url": "http://example.com/", "threshold": 0.5}', 422, "webhook_url_refused"),
        (b'{"webhook_url": "https://10.0.0.1/", "threshold": 0.5}', 422, "webhook_url_refused"),
        (b'{"webhook_url": "https://localhost/", "threshold": 0.5}', 422, "webhook_url_refused"),
    ):
        given, problem = await api.call("POST", url, data=body)
        assert (given, problem["code"]) == (status, code), body


async def test_a_foreign_key_sees_nothing_of_another_client(api, service, stats, kafka):
    async with an_api(kafka, service, stats) as stranger, Receiver() as receiver:
        mine = await api.subscribed(stats, receiver.url, 0.5)
        item = await api.sent(service, b.a_png())
        await receiver.until(1)
        [delivery] = await api.ended(stats, mine)
        one = f"/v1/subscriptions/{mine['id']}"
        for method, path in (
            ("GET", one), ("PATCH", one), ("DELETE", one), ("POST", f"{one}/test"),
            ("POST", f"{one}/rotate-secret"), ("GET", f"/v1/deliveries/{delivery['id']}"),
            ("GET", f"/v1/alerts?subscription={mine['id']}"),
        ):  # fmt: skip
            status, problem = await stranger.call(
                method, stats.url + path, json={"threshold": 1} if method == "PATCH" else None
            )
            assert (path, status, problem["code"]) == (path, 404, "not_found")
        assert (await stranger.call("GET", f"{service.url}/red/images/{item['image_id']}"))[0] == 404
        _, live = await stranger.call("GET", f"{stats.url}/v1/live?at_least={item['position']}")
        _, counted = await stranger.call("GET", f"{stats.url}/v1/statistics?{ALL}")
        _, alerts = await stranger.call("GET", f"{stats.url}/v1/alerts")
        _, deliveries = await stranger.call("GET", f"{stats.url}/v1/deliveries")
        assert (live["totals"]["24h"]["images"], counted["images"]) == (0, 0)
        assert alerts["items"] == deliveries["items"] == live["subscriptions"] == []
        _, unchanged = await api.call("GET", stats.url + one)
        assert unchanged["version"] == 1


async def test_a_key_that_a_producer_mints_opens_nothing(api, service, stats, kafka):
    record, minted = new_key("eve", ("admin",), "2026-01-01T00:00:00.000Z", SecretKeys([b"?" * 32]))
    await published(kafka, record)
    async with an_api(kafka, service, stats):  # a later key is known, so the minted one has been read
        for url in (f"{stats.url}/v1/live?client={api.client_id}", f"{service.url}/red/images/x"):
            async with api.session.get(url, headers=bearer(minted)) as answer:
                assert answer.status == 401
        for url, name in (
            (stats.url, "red_stats_key_records_ignored"),
            (service.url, "red_key_records_ignored"),
        ):
            _, told = await api.call("GET", f"{url}/metrics")
            assert f"{name} 0.0" not in told.decode()
            assert f"\n{name} " in told.decode()


async def test_a_key_reaches_what_its_scopes_say(stats, kafka):
    async with an_api(kafka, stats, scopes=("measure",)) as api:
        for path in (
            "/v1/live",
            f"/v1/statistics?{ALL}",
            "/v1/subscriptions",
            "/v1/alerts",
            "/v1/deliveries",
        ):
            status, problem = await api.call("GET", stats.url + path)
            assert (status, problem["code"]) == (403, "scope_missing")
    async with an_api(kafka, stats, scopes=("admin",)) as admin:
        status, live = await admin.call("GET", f"{stats.url}/v1/live?client=somebody")
        assert (status, live["client_id"]) == (200, "somebody")


@pytest.mark.parametrize("which", [0, 1])
async def test_a_test_event_and_both_secrets_after_a_rotation(api, stats, which):
    async with Receiver() as receiver:
        subscription = await api.subscribed(stats, receiver.url)
        url = f"{stats.url}/v1/subscriptions/{subscription['id']}"
        _, rotated = await api.call("POST", f"{url}/rotate-secret")
        receiver.secrets = [(subscription["secret"], rotated["secret"])[which]]
        status, told = await api.call("POST", f"{url}/test")
        assert status == 202
        await receiver.until(1)
        [got] = receiver.got
        assert got.body["type"] == "red.test"
        assert got.id == told["webhook_id"]
        assert len(got.signatures.split()) == 2
        assert got.verified


async def test_a_subscription_is_tested_once_in_10_seconds(api, stats):
    async with Receiver() as receiver:
        first, other = [await api.subscribed(stats, receiver.url) for _ in range(2)]
        url = f"{stats.url}/v1/subscriptions/{{}}/test"
        assert (await api.call("POST", url.format(first["id"])))[0] == 202
        async with api.session.post(url.format(first["id"]), headers=bearer(api.key)) as refused:
            assert refused.status == 429
            assert (await refused.json(content_type=None))["code"] == "rate_limited"
            assert 1 <= int(refused.headers["Retry-After"]) <= 10
        assert (await api.call("POST", url.format(other["id"])))[0] == 202
        await receiver.until(2)
        assert len({got.id for got in receiver.got}) == 2


async def test_a_flood_of_commands_is_refused_and_nothing_else_of_the_client(api, stats, kafka):
    async with an_api(kafka, stats) as other:
        one = f"{stats.url}/v1/subscriptions/none"
        answers = await asyncio.gather(*(api.call("DELETE", one) for _ in range(300)))
        codes = Counter(problem["code"] for _, problem in answers)
        assert codes.keys() == {"not_found", "rate_limited"}
        assert codes["not_found"] >= 100
        async with api.session.get(f"{stats.url}/v1/subscriptions", headers=bearer(api.key)) as found:
            assert found.status == 200
            assert found.headers["RateLimit-Policy"] == '"requests";q=1000;w=10'
        assert (await other.call("DELETE", one))[0] == 404


async def test_a_retry_with_an_idempotency_key_gets_the_first_answer_with_its_secret(api, stats):
    url, headers = f"{stats.url}/v1/subscriptions", {"Idempotency-Key": "one"}
    body = {"webhook_url": "https://example.com/h", "threshold": 0.25}
    made = [await api.call("POST", url, json=body, headers=headers) for _ in range(3)]
    assert {status for status, _ in made} == {201}
    assert made[0][1] == made[1][1] == made[2][1]
    assert len((await api.call("GET", url))[1]["items"]) == 1
    status, problem = await api.call("POST", url, json=body | {"threshold": 0.5}, headers=headers)
    assert (status, problem["code"]) == (422, "idempotency_key_reused")
    status, problem = await api.call("POST", url, json=body, headers={"Idempotency-Key": ""})
    assert (status, problem["code"]) == (400, "idempotency_key_invalid")

    rotate = f"{url}/{made[0][1]['id']}/rotate-secret"
    rotated = [await api.call("POST", rotate, headers=headers) for _ in range(3)]
    assert rotated[0] == rotated[1] == rotated[2]
    assert (rotated[0][0], rotated[0][1]["version"]) == (200, 2)
    assert rotated[0][1]["secret"] != made[0][1]["secret"]
    status, problem = await api.call("POST", rotate, json={"overlap_seconds": 1}, headers=headers)
    assert (status, problem["code"]) == (422, "idempotency_key_reused")
    other = {"Idempotency-Key": "two"}
    status, again = await api.call("POST", url, json=body, headers=other)
    assert (status, again["id"] != made[0][1]["id"]) == (201, True)
    assert again["secret"] not in (made[0][1]["secret"], rotated[0][1]["secret"])

    await api.call("DELETE", f"{url}/{made[0][1]['id']}")
    assert await api.call("POST", url, json=body, headers=headers) == made[0]


async def test_concurrent_retries_with_one_key_make_one_subscription(api, stats):
    url, headers = f"{stats.url}/v1/subscriptions", {"Idempotency-Key": "at once"}
    body = {"webhook_url": "https://example.com/h", "threshold": 0.25}
    made = await asyncio.gather(*(api.call("POST", url, json=body, headers=headers) for _ in range(8)))
    assert {status for status, _ in made} == {201}
    assert len({answer["id"] for _, answer in made}) == len({answer["secret"] for _, answer in made}) == 1
    assert len((await api.call("GET", url))[1]["items"]) == 1


async def test_both_services_answer_who_ends_its_side_and_what_they_do_not_know(api, service, stats):
    for one in (service, stats):
        reader, writer = await asyncio.open_connection("127.0.0.1", one.port)
        writer.write(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        writer.write_eof()
        assert (await reader.read()).startswith(b"HTTP/1.1 200 OK")
        writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", one.port)
        writer.write(b"GET /health/live HTTP/1.1\r\nHost: x\r\nExpect: x\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 417")
        assert b"application/problem+json" in answer
        writer.close()


async def test_a_backfill_raises_no_alert_unless_max_age_is_null(kafka, api, service, stats):
    async with Receiver() as receiver:
        day = await api.subscribed(stats, receiver.url, 0.5)
        free = await api.subscribed(stats, receiver.url, 0.5, max_age=None)
        assert (day["max_age"], free["max_age"]) == (86_400, None)
        old = rfc3339(from_ms(int(time.time() * 1000) - 90_000_000))
        [position] = await measured(kafka, api.client_id, [1.0], measured_at=old)
        status, alerts = await api.call("GET", f"{stats.url}/v1/alerts?at_least={position}")
        assert (status, [alert["subscription_id"] for alert in alerts["items"]]) == (200, [free["id"]])
        status, counted = await api.call("GET", f"{stats.url}/v1/statistics?{ALL}&at_least={position}")
        assert (status, counted["images"]) == (200, 1)


async def test_a_poison_record_among_good_ones_becomes_a_dead_letter(api, stats, kafka):
    client, key = api.client_id, api.client_id.encode()
    poison = b'{"image_id": "\xff\x00 no measurement'
    good = a_measurement(client, 0.9, int(time.time() * 1000))
    wrong_key = a_measurement("somebody-else", 0.9, int(time.time() * 1000))
    async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
        for value in (good, poison, good, wrong_key, None, good):
            done = await producer.send_and_wait(topics.MEASUREMENTS, value, key)
    position = f"{done.partition}:{done.offset}"
    _, live = await api.call("GET", f"{stats.url}/v1/live?at_least={position}")
    _, counted = await api.call("GET", f"{stats.url}/v1/statistics?{ALL}&at_least={position}")
    assert live["totals"]["1h"]["images"] == counted["images"] == 3
    letters = [json.loads(r.value) for r in await until_records(kafka, topics.DEAD_LETTERS, client, 3)]
    assert [letter["topic"] for letter in letters] == [topics.MEASUREMENTS] * 3
    assert base64.b64encode(poison).decode() == letters[0]["value_base64"]
    assert letters[0]["key_base64"] == base64.b64encode(key).decode()
    assert letters[2]["value_base64"] is None
    assert [letter["partition"] for letter in letters] == [done.partition] * 3


async def test_commands_by_topic_are_answered_once_and_are_in_force(api, stats, kafka):
    fields = {"client_id": api.client_id, "webhook_url": "https://example.com/h", "threshold": 0.3}
    good = {"command": "subscribe", "command_id": "one"} | fields
    bad = {"command": "subscribe", "command_id": "two"} | fields | {"threshold": 7}
    odd = {"command": "paint", "command_id": "three"} | fields
    async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
        for command in (good, good, bad, odd):
            value = json.dumps(command).encode()
            await producer.send_and_wait(topics.SUBSCRIPTION_COMMANDS, value, api.client_id.encode())
    found = await until_records(kafka, topics.COMMAND_RESULTS, api.client_id, 4)
    answers = [json.loads(record.value) for record in found]
    assert [a["status"] for a in answers] == ["accepted", "accepted", "rejected", "rejected"]
    assert answers[0] == answers[1]
    assert [a["problem"]["code"] for a in answers[2:]] == ["threshold_out_of_range", "unknown_command"]
    _, listed = await api.call("GET", f"{stats.url}/v1/subscriptions")
    assert [s["id"] for s in listed["items"]] == [answers[0]["subscription"]["id"]]
    assert "secret" not in listed["items"][0]


async def test_each_image_is_judged_by_the_version_in_force_when_it_was_acknowledged(api, service, stats):
    async with Receiver() as receiver:
        subscription = await api.subscribed(stats, receiver.url, 0.5)
        one = f"{stats.url}/v1/subscriptions/{subscription['id']}"
        over = [await api.sent(service, b.a_png())]
        await api.call("PATCH", one, json={"threshold": 1})
        await api.sent(service, b.a_png())
        await api.call("PATCH", one, json={"threshold": 0.2})
        over.append(await api.sent(service, b.a_png()))
        await receiver.until(2)
        _, alerts = await api.call(
            "GET", f"{stats.url}/v1/alerts?subscription={subscription['id']}&at_least={over[-1]['position']}"
        )
        told = [(a["seq"], a["prev_seq"], a["version"], a["position"]) for a in alerts["items"]]
        assert told == [(1, 0, 1, over[0]["position"]), (2, 1, 3, over[1]["position"])]
        url = f"{stats.url}/v1/alerts?subscription={subscription['id']}&after=1"
        _, rest = await api.call("GET", url)
        assert [a["seq"] for a in rest["items"]] == [2]


async def test_lists_come_in_pages(api, stats, kafka):
    await api.subscribed(stats, "https://example.com/never", 0)
    positions = await measured(kafka, api.client_id, [0.5] * 5)
    url, seen = f"{stats.url}/v1/alerts?limit=2&at_least={positions[-1]}", []
    cursor = ""
    while cursor is not None:
        _, page = await api.call("GET", url + (f"&cursor={cursor}" if cursor else ""))
        seen += [alert["seq"] for alert in page["items"]]
        cursor = page["next"]
    assert seen == [5, 4, 3, 2, 1]


async def test_the_alerts_of_one_subscription_come_newest_first_where_that_is_asked_for(api, stats, kafka):
    one = await api.subscribed(stats, "https://example.com/never", 0)
    await api.subscribed(stats, "https://example.com/never", 0.1)
    positions = await measured(kafka, api.client_id, [0.5] * 5)
    url = f"{stats.url}/v1/alerts?subscription={one['id']}&order=newest&limit=2&at_least={positions[-1]}"
    seen, cursor = [], ""
    while cursor is not None:
        _, page = await api.call("GET", url + (f"&cursor={cursor}" if cursor else ""))
        seen += [(alert["subscription_id"], alert["seq"]) for alert in page["items"]]
        cursor = page["next"]
    assert seen == [(one["id"], seq) for seq in (5, 4, 3, 2, 1)]


async def test_public_addresses_need_no_key(stats, api):
    for path in ("/health/live", "/health/ready", "/metrics", "/openapi.json", "/docs", "/"):
        async with api.session.get(stats.url + path) as answer:
            assert (path, answer.status) == (path, 200)
    for path in ("/v1/live", "/nothing", "/router/", "/table/", "/graph"):
        async with api.session.get(stats.url + path) as answer:
            assert (path, answer.status) == (path, 401)


TOPIC_SCHEMAS = {
    topics.MEASUREMENTS: "measurement",
    topics.SUBSCRIPTION_COMMANDS: "subscription-command",
    topics.COMMAND_RESULTS: "command-result",
    topics.SUBSCRIPTIONS: "subscriptions",
    topics.ALERTS: "alert",
    topics.DELIVERY_TASKS: "delivery-task",
    topics.DELIVERIES: "delivery",
    topics.API_KEYS: "api-key",
    topics.AUDIT: "audit",
    topics.DEAD_LETTERS: "dead-letter",
}


@pytest.mark.parametrize("topic", TOPIC_SCHEMAS)
async def test_every_record_of_ours_fits_its_schema(kafka, topic):
    """What the tests above wrote by hand is left out, and commands that were refused."""
    schema = json.loads((SCHEMAS / "events" / f"{TOPIC_SCHEMAS[topic]}.json").read_text())
    validator = Draft202012Validator(schema)
    answers = [read(record.value) for record in await everything(kafka, topics.COMMAND_RESULTS)]
    accepted = {answer["command_id"] for answer in answers if answer["status"] == "accepted"}
    seen = 0
    for record in await everything(kafka, topic):
        value = read(record.value)
        is_mark = bool(record.key) and record.key.startswith(b"!")
        is_foreign = topic == topics.MEASUREMENTS and "decoder" not in (value or {})
        is_refused = topic == topics.SUBSCRIPTION_COMMANDS and value["command_id"] not in accepted
        is_gone = topic.compact and record.value is None
        if not (is_mark or is_foreign or is_refused or is_gone):
            validator.validate(value)
            seen += 1
    assert seen


def read(raw):
    try:
        return json.loads(raw)
    except (TypeError, ValueError):
        return None


async def everything(kafka, topic):
    found = []
    partitions = range(1 if topic.single else PARTITIONS)
    await read_to_end(
        KafkaConnection(kafka), {TopicPartition(topic, number): found.append for number in partitions}
    )
    return found


def test_after_all_that_verify_says_equal(stats):
    code, report = verified(stats)
    assert (code, report["differences"]) == (0, [])
    assert report["log"] == report["clickhouse"] > 500
    assert report["live"] == report["log_in_windows"]
    assert sum(s["implied"] for s in report["subscriptions"]) >= 10
