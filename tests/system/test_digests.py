"""`min_interval`: as few webhooks as a client wants, each alert in exactly one of them."""

import asyncio
import json
import time
import uuid

from aiokafka import AIOKafkaProducer

from red_stats import topics
from tests.builders import a_measurement
from tests.services import verified

SECONDS = 2
LONG = 8  # seconds of an interval in which a slow machine records alerts and takes a command


async def subscribed(api, stats, receiver, **fields):
    given = {"min_interval": SECONDS} | fields
    subscription = await api.subscribed(stats, receiver.url, 0.25, max_age=None, **given)
    receiver.secrets.append(subscription["secret"])
    return subscription


async def alerted(api, stats, kafka, subscription, count):
    """So many images over the threshold at once; returns the alerts about them, once they are recorded."""
    async with AIOKafkaProducer(bootstrap_servers=kafka, enable_idempotence=True) as producer:
        values = [a_measurement(api.client_id, 0.9, image_id=str(uuid.uuid4())) for _ in range(count)]
        sent = [await producer.send(topics.MEASUREMENTS, one, api.client_id.encode()) for one in values]
        done = [await one for one in sent][-1]
    url = f"{stats.url}/v1/alerts?subscription={subscription['id']}&after=0"
    async with asyncio.timeout(60):  # a worker that has just begun records what was there before
        status, page = await api.call("GET", f"{url}&at_least={done.partition}:{done.offset}")
    assert status == 200
    return page["items"][-count:]


async def test_alerts_within_the_interval_go_out_as_one_signed_digest_at_its_end(api, stats, kafka, receiver):
    subscription = await subscribed(api, stats, receiver)
    assert subscription["min_interval"] == SECONDS
    began = time.time()
    alerts = await alerted(api, stats, kafka, subscription, 5)
    await receiver.until(2)

    first, second = receiver.got
    assert (first.body["type"], second.body["type"]) == ("red.alert", "red.digest")
    assert first.verified
    assert second.verified
    assert second.at > began + SECONDS
    told = second.body["data"]
    assert first.body["data"]["seq"] == 1
    assert told == {
        "subscription_id": subscription["id"],
        "count": 4,
        "first_seq": 2,
        "last_seq": 5,
        "from": alerts[1]["measured_at"],
        "to": alerts[4]["measured_at"],
        "max_red": 0.9,
        "alerts": alerts[1:],
    }
    one, digest = sorted(await api.ended(stats, subscription, count=2), key=lambda item: item["first_seq"])
    assert [(d["kind"], d["alert_id"], d["first_seq"], d["last_seq"], d["count"]) for d in (one, digest)] == [
        ("alert", alerts[0]["id"], 1, 1, 1),
        ("digest", None, 2, 5, 4),
    ]
    for alert, delivery in [(alerts[0], one), *[(alert, digest) for alert in alerts[1:]]]:
        _, page = await api.call("GET", f"{stats.url}/v1/deliveries?alert={alert['id']}")
        assert [item["id"] for item in page["items"]] == [delivery["id"]]
    code, report = await asyncio.to_thread(verified, stats, "--client", api.client_id)
    assert (code, report["differences"]) == (0, [])
    [counted] = report["subscriptions"]
    assert (counted["sent"], counted["delivered"], counted["waiting"]) == (5, 5, 0)


async def test_what_waits_while_the_client_has_disabled_it_goes_out_as_one_digest(
    api, stats, kafka, receiver
):
    subscription = await subscribed(api, stats, receiver, min_interval=LONG)
    one = f"{stats.url}/v1/subscriptions/{subscription['id']}"
    await alerted(api, stats, kafka, subscription, 3)
    status, _ = await api.call("PATCH", one, json={"enabled": False})
    assert status == 200
    await asyncio.sleep(LONG + 1)  # nothing comes: there is nothing to wait for
    assert [got.body["type"] for got in receiver.got] == ["red.alert"]
    code, report = await asyncio.to_thread(verified, stats, "--client", api.client_id)
    assert (code, [s["waiting"] for s in report["subscriptions"]]) == (0, [2])

    await api.call("PATCH", one, json={"enabled": True})
    await receiver.until(2)
    assert [receiver.got[1].body["data"][name] for name in ("first_seq", "last_seq")] == [2, 3]


async def test_what_waits_for_a_deleted_subscription_is_told_to_be_cancelled(api, stats, kafka, receiver):
    subscription = await subscribed(api, stats, receiver, min_interval=60)
    alerts = await alerted(api, stats, kafka, subscription, 3)
    status, _ = await api.call("DELETE", f"{stats.url}/v1/subscriptions/{subscription['id']}")
    assert status == 204
    items = await api.ended(stats, subscription, count=2)
    assert {(item["kind"], item["count"], item["state"]) for item in items} >= {("digest", 2, "cancelled")}
    _, page = await api.call("GET", f"{stats.url}/v1/deliveries?alert={alerts[2]['id']}")
    assert [item["state"] for item in page["items"]] == ["cancelled"]


async def test_a_digest_has_the_same_bytes_on_every_attempt(api, stats, kafka, receiver):
    answers = iter([200, 503, 200])

    async def answer(request):
        return next(answers)

    receiver.answer = answer
    subscription = await subscribed(api, stats, receiver)
    await alerted(api, stats, kafka, subscription, 3)
    await receiver.until(3, seconds=60)
    _, failed, again = receiver.got
    assert (failed.id, failed.raw) == (again.id, again.raw)
    assert json.loads(again.raw)["data"]["count"] == 2
    [item] = [item for item in await api.ended(stats, subscription, count=2) if item["kind"] == "digest"]
    assert [attempt["status"] for attempt in item["attempts"]] == [503, 200]
