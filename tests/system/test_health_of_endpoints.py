"""`health` of a subscription: how its endpoint does, from what is recorded."""

import asyncio

import pytest
from aiohttp import web

from tests.receiver import Receiver
from tests.services import verified
from tests.system.test_digests import alerted
from tests.system.test_webhooks import instead_of


async def health_once(api, one, wanted, seconds=30):
    """The health of a subscription once it is as wanted."""
    async with asyncio.timeout(seconds):
        while True:
            health = (await api.call("GET", one))[1]["health"]
            if health is not None and wanted(health):  # None: the client has used up its share of the store
                return health
            await asyncio.sleep(0.2)


async def test_an_endpoint_is_ok_failing_paused_and_disabled(api, stats, kafka):
    async with Receiver() as receiver:
        subscription = await api.subscribed(stats, receiver.url, 0.25, max_age=None)
        one = f"{stats.url}/v1/subscriptions/{subscription['id']}"
        assert (await api.call("GET", one))[1]["health"] == {
            "state": "ok", "failing_since": None, "last_success_at": None, "last_status": None,
            "pending": 0, "held": 0, "next_attempt_at": None, "changes": [],
        }  # fmt: skip

        await alerted(api, stats, kafka, subscription, 1)
        fine = await health_once(api, one, lambda health: health["last_success_at"])
        assert (fine["state"], fine["last_status"], fine["pending"]) == ("ok", 200, 0)

        receiver.answer = 503
        await alerted(api, stats, kafka, subscription, 1)
        failing = await health_once(api, one, lambda health: health["failing_since"])
        assert (failing["last_status"], failing["pending"]) == (503, 1)
        assert failing["state"] in ("failing", "paused")
        assert failing["last_success_at"] == fine["last_success_at"] < failing["failing_since"]
        paused = await health_once(api, one, lambda health: health["state"] == "paused")
        assert paused["failing_since"] == failing["failing_since"]
        assert paused["next_attempt_at"] > failing["failing_since"]

        await api.call("PATCH", one, json={"enabled": False})
        held = await health_once(api, one, lambda health: health["held"])
        assert (held["state"], held["pending"], held["held"], held["next_attempt_at"]) == (
            "disabled",
            0,
            1,
            None,
        )

        receiver.answer = 204
        await api.call("PATCH", one, json={"enabled": True})
        again = await health_once(api, one, lambda health: health["state"] == "ok", 90)
        assert (again["failing_since"], again["last_status"], again["held"]) == (None, 204, 0)


async def test_an_endpoint_that_asks_to_be_left_alone_is_paused(api, stats, kafka):
    async def answer(request):
        return web.Response(status=429, headers={"Retry-After": "600"})

    async with Receiver(answer) as receiver:
        subscription = await api.subscribed(stats, receiver.url, 0.25, max_age=None)
        one = f"{stats.url}/v1/subscriptions/{subscription['id']}"
        await alerted(api, stats, kafka, subscription, 1)
        paused = await health_once(api, one, lambda health: health["last_status"])
        assert (paused["state"], paused["last_status"], paused["pending"]) == ("paused", 429, 1)


@pytest.fixture
def strict(kafka, stats, tmp_path):
    """A worker that gives an endpoint up after 1.8 s, and probes it every second."""
    given = {
        "RED_WEBHOOK_DISABLE_HOURS": "0.0005", "RED_WEBHOOK_PROBE_SCHEDULE": "1",
        "RED_WEBHOOK_SCHEDULE": "0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,60",
    }  # fmt: skip
    with instead_of(stats, kafka, tmp_path, **given) as service:
        yield service


async def test_an_endpoint_that_is_lost_is_disabled_probed_and_enabled_and_another_is_told(
    api, strict, kafka
):
    async with Receiver(500) as lost, Receiver() as told:
        subscription = await api.subscribed(strict, lost.url, 0.25, max_age=None)
        other = await api.subscribed(strict, told.url, 1, notices=True)
        lost.secrets.append(subscription["secret"])
        told.secrets.append(other["secret"])
        one = f"{strict.url}/v1/subscriptions/{subscription['id']}"
        await alerted(api, strict, kafka, subscription, 1)

        await told.until(lambda receiver: any(g.body["data"]["state"] == "disabled" for g in receiver.got))
        found = (await api.call("GET", one))[1]
        assert (found["enabled"], found["disabled_reason"]) == (False, "failing")
        await alerted(api, strict, kafka, subscription, 4)  # raised and held
        before = [got for got in lost.got if got.body["type"] == "red.alert"]
        await lost.until(lambda receiver: receiver.got[-1].body["type"] == "red.probe")
        await health_once(api, one, lambda health: health["held"] == 5)
        assert [got for got in lost.got if got.body["type"] == "red.alert"] == before

        lost.answer = 200
        await told.until(lambda receiver: receiver.got[-1].body["data"]["state"] == "enabled")
        await lost.until(lambda receiver: len(receiver.alerts(subscription["id"])) == 5)
        probe = next(got.body for got in lost.got if got.body["type"] == "red.probe")
        assert probe["data"]["subscription_id"] == subscription["id"]
        assert all(got.verified for got in (*lost.got, *told.got))
        assert {got.body["type"] for got in told.got} == {"red.notice"}
        notices = [got.body["data"] for got in told.got]
        assert [(one["state"], one["reason"]) for one in notices] == [
            ("disabled", "failing"),
            ("enabled", None),
        ]
        assert {one["subscription_id"] for one in notices} == {subscription["id"]}
        health = await health_once(api, one, lambda health: health["state"] == "ok" and not health["held"])
        changes = [(change["state"], change["reason"]) for change in health["changes"]]
        assert changes == [("enabled", None), ("disabled", "failing")]
        url = f"{strict.url}/v1/deliveries?subscription="
        kinds = [item["kind"] for item in (await api.call("GET", url + subscription["id"]))[1]["items"]]
        assert set(kinds) == {"alert", "probe"}
        [item, *_] = await api.ended(strict, other, ("delivered",), 2)
        assert (item["kind"], item["count"]) == ("notice", 0)
        again = await api.call("POST", f"{strict.url}/v1/deliveries/{item['id']}/redeliver")
        assert (again[0], again[1]["code"]) == (409, "delivery_not_repeatable")
        assert verified(strict)[0] == 0


async def test_an_endpoint_is_given_up_by_the_time_since_it_fails_also_across_a_killed_worker(
    api, strict, kafka
):
    async with Receiver(500) as lost:
        subscription = await api.subscribed(strict, lost.url, 0.25, max_age=None)
        one = f"{strict.url}/v1/subscriptions/{subscription['id']}"
        await alerted(api, strict, kafka, subscription, 1)
        await lost.until(1)
        strict.kill()
        strict.start()
        strict.until_ready()
        async with asyncio.timeout(60):
            while (await api.call("GET", one))[1]["enabled"]:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        lost.answer = 200
        await lost.until(lambda receiver: receiver.got[-1].body["type"] == "red.probe", seconds=60)
        await api.ended(strict, subscription, ("delivered", "exhausted"), count=2)
