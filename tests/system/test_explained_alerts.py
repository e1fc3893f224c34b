"""`GET /v1/alerts/{id}`: an alert from the image to the last attempt to tell of it."""

import asyncio

from tests.receiver import Receiver
from tests.system.test_digests import alerted

KEY = {"Idempotency-Key": "once"}


async def explained(api, stats, alert):
    status, body = await api.call("GET", f"{stats.url}/v1/alerts/{alert['id']}")
    assert status == 200
    return body


async def test_an_alert_tells_image_version_and_every_attempt(api, stats, kafka):
    answers = iter([500, 200])

    async def answer(request):
        return next(answers)

    async with Receiver(answer) as receiver:
        subscription = await api.subscribed(
            stats, receiver.url, 0.25, max_age=None, trigger="crossing", rearm_below=0.1
        )
        [alert] = await alerted(api, stats, kafka, subscription, 1)
        [delivery] = await api.ended(stats, subscription, ("delivered",))

        _, page = await api.call("GET", f"{stats.url}/v1/measurements?at_least={alert['position']}")
        found = await explained(api, stats, alert)

        assert found["alert"] == alert
        assert found["measurement"] == page["items"][0]
        assert found["measurement"]["image_id"] == alert["image_id"]
        assert found["version"] == {
            "version": 1, "threshold": 0.25, "trigger": "crossing", "rearm_below": 0.1, "min_interval": 0,
            "max_age": None, "in_force_from": subscription["in_force_from"], "in_force_until": None,
        }  # fmt: skip
        assert found["deliveries"] == [delivery]
        first, second = delivery["attempts"]
        assert (first["status"], first["next"]["because"], second["status"]) == (500, "schedule", 200)
        assert first["timing"]["total"] == first["ms"]
        assert second["next"] is None


async def test_a_version_says_until_where_it_was_in_force_and_one_of_a_digest_its_digest(api, stats, kafka):
    async with Receiver() as receiver:
        given = {"webhook_url": receiver.url, "threshold": 0.25, "max_age": None, "min_interval": 3}
        _, subscription = await api.call("POST", f"{stats.url}/v1/subscriptions", json=given, headers=KEY)
        alerts = await alerted(api, stats, kafka, subscription, 3)
        one = f"{stats.url}/v1/subscriptions/{subscription['id']}"
        _, changed = await api.call("PATCH", one, json={"threshold": 0.3})
        await api.call("POST", f"{stats.url}/v1/subscriptions", json=given, headers=KEY)  # answered as before
        await api.ended(stats, subscription, ("delivered",), count=2)
        async with asyncio.timeout(30):
            while (found := await explained(api, stats, alerts[2]))["version"]["in_force_until"] is None:  # noqa: ASYNC110
                await asyncio.sleep(0.05)

        version = found["version"]
        assert (version["version"], version["threshold"]) == (1, 0.25)
        assert version["in_force_until"] == changed["in_force_from"]
        assert [(d["kind"], d["first_seq"], d["last_seq"]) for d in found["deliveries"]] == [("digest", 2, 3)]


async def test_what_is_no_alert_of_the_client_is_not_found(api, stats):
    status, problem = await api.call("GET", f"{stats.url}/v1/alerts/3b4dd0b3-5a0c-4a35-9b60-9bb2a1f6f1aa")
    assert (status, problem["code"]) == (404, "not_found")
