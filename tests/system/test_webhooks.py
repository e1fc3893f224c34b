"""What webhooks get, when and how often, with RED and the worker as processes."""

import asyncio
import json
import time
from contextlib import contextmanager

import pytest
from aiohttp import web

from red_stats.domain.signatures import sign
from tests.receiver import Receiver
from tests.red_service import builders as b
from tests.services import an_api, running, verified, worker


async def test_a_failing_webhook_is_tried_again_with_the_same_bytes(api, service, stats):
    answers = iter([500, 404, 200])

    async def answer(request):
        return next(answers)

    async with Receiver(answer) as receiver:
        subscription = await api.subscribed(stats, receiver.url)
        receiver.secrets.append(subscription["secret"])
        await api.sent(service, b.a_png())
        await receiver.until(3)
        assert len({(got.id, got.raw) for got in receiver.got}) == 1
        assert all(got.verified for got in receiver.got)
        [delivery] = await api.ended(stats, subscription)
        statuses = [(a["attempt"], a["status"]) for a in delivery["attempts"]]
        assert statuses == [(1, 500), (2, 404), (3, 200)]


async def test_a_webhook_that_is_gone_is_disabled_and_its_alerts_wait_for_it(api, service, stats):
    async with Receiver(410) as receiver:
        subscription = await api.subscribed(stats, receiver.url)
        one = f"{stats.url}/v1/subscriptions/{subscription['id']}"
        await api.sent(service, b.a_png())
        async with asyncio.timeout(60):
            while (found := (await api.call("GET", one))[1])["enabled"]:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert found["disabled_reason"] == "gone"
        assert len(await api.ended(stats, subscription, ("held",))) == 1
        receiver.answer = 200
        await api.sent(service, b.a_png())  # the system stops deliveries only: this one is raised and held
        assert len(await api.ended(stats, subscription, ("held",), count=2)) == 2
        await api.call("PATCH", one, json={"enabled": True})
        await receiver.until(3)
        deliveries = await api.ended(stats, subscription, ("delivered",), count=2)
        statuses = sorted([a["status"] for a in found["attempts"] if a["status"]] for found in deliveries)
        assert statuses == [[200], [410, 200]]
        assert sorted(alert["seq"] for alert in receiver.alerts()) == [1, 2]
        await api.call("PATCH", one, json={"enabled": False})  # its client stops the alerts themselves
        item = await api.sent(service, b.a_png())
        path = f"{stats.url}/v1/alerts?subscription={subscription['id']}&at_least={item['position']}"
        assert len((await api.call("GET", path))[1]["items"]) == 2


async def until_failed(api, stats, subscription, times=1):
    """Returns once the only delivery of the subscription has failed so often."""
    async with asyncio.timeout(60):
        while True:
            found = await api.ended(stats, subscription, ("pending",))
            if sum(attempt["attempt"] > 0 for attempt in found[0]["attempts"]) >= times:
                return
            await asyncio.sleep(0.1)


@contextmanager
def instead_of(stats, kafka, folder, **settings):
    """A worker with other settings, while the one of this module is stopped."""
    stats.stop()
    try:
        with running(worker(kafka, folder, **settings)) as service:
            yield service
    finally:
        stats.start()
        stats.until_ready()


@pytest.fixture
def patient(kafka, stats, tmp_path):
    """A worker of role deliver alone whose second attempt would come after an hour."""
    given = {"RED_WEBHOOK_SCHEDULE": "3600", "RED_WEBHOOK_TIMEOUT": "5"}
    with instead_of(stats, kafka, tmp_path, **given) as service:
        yield service


async def test_an_endpoint_that_comes_back_is_tried_within_seconds_whatever_the_schedule_says(
    api, service, patient
):
    async with Receiver(500) as receiver:
        subscription = await api.subscribed(patient, receiver.url)
        await api.sent(service, b.a_png())
        await until_failed(api, patient, subscription)
        receiver.answer = 200
        [delivery] = await api.ended(patient, subscription)
        statuses = [a["status"] for a in delivery["attempts"] if a["attempt"]]
        assert (delivery["state"], statuses[-2:]) == ("delivered", [500, 200])


async def test_a_new_url_gets_at_once_what_the_old_one_did_not_take(api, service, patient):
    async with Receiver(500) as failing, Receiver() as better:
        subscription = await api.subscribed(patient, failing.url)
        await api.sent(service, b.a_png())
        await until_failed(api, patient, subscription)
        changed = time.monotonic()
        one = f"{patient.url}/v1/subscriptions/{subscription['id']}"
        await api.call("PATCH", one, json={"webhook_url": better.url})
        await better.until(1)
        assert time.monotonic() - changed < 3.5  # before the first probe
        assert len(better.alerts()) == 1


async def test_every_secret_within_its_overlap_signs_newest_first(api, service, stats):
    async with Receiver() as receiver:
        subscription = await api.subscribed(stats, receiver.url)
        rotate = f"{stats.url}/v1/subscriptions/{subscription['id']}/rotate-secret"
        secrets = [subscription["secret"]]
        for body in ({}, {"json": {"overlap_seconds": 3600}}, {"json": {"overlap_seconds": 0}}):
            status, answer = await api.call("POST", rotate, **body)
            assert status == 200
            secrets.append(answer["secret"])
        for value, code in ((-1, 422), (604_801, 422), ("1", 400), (10**25, 422)):
            assert (await api.call("POST", rotate, json={"overlap_seconds": value}))[0] == code
        await api.sent(service, b.a_png())
        await receiver.until(1)
        [got] = receiver.got
        expected = [sign(secret, got.id, int(got.timestamp), got.raw) for secret in secrets]
        newest, previous, second, first = expected[::-1]
        assert got.signatures.split() == [newest, second, first]
        assert previous not in got.signatures


@pytest.fixture
def proving(kafka, stats, tmp_path):
    """A worker that sends nothing to an endpoint that has not proven its consent."""
    with instead_of(stats, kafka, tmp_path, RED_WEBHOOK_VERIFY="1") as service:
        yield service


async def echo(request):
    event = await request.json()
    return web.Response(text=json.dumps({"challenge": event["data"].get("challenge", "")}))


def types_of(receiver):
    return [got.body["type"] for got in receiver.got]


async def test_nothing_is_sent_to_an_endpoint_before_it_echoed_a_challenge(api, service, proving):
    async with Receiver() as receiver, Receiver(echo) as other:
        subscription = await api.subscribed(proving, receiver.url)
        receiver.secrets.append(subscription["secret"])
        await api.sent(service, b.a_png())
        await receiver.until(2)
        assert set(types_of(receiver)) == {"red.verify"}
        assert all(got.verified for got in receiver.got)
        assert len({got.body["data"]["challenge"] for got in receiver.got}) == len(receiver.got)
        receiver.answer = echo
        [delivery] = await api.ended(proving, subscription)
        errors = {attempt["error"] for attempt in delivery["attempts"] if attempt["attempt"]}
        assert errors == {None, "answered 200 without the challenge of red.verify"} or errors == {
            None,
            "answered 204 without the challenge of red.verify",
        }
        assert types_of(receiver)[-2:] == ["red.verify", "red.alert"]

        before = len(receiver.got)
        await api.sent(service, b.a_png())
        await receiver.until(before + 1)
        assert types_of(receiver)[before:] == ["red.alert"]  # it has proven its consent once and for all

        one = f"{proving.url}/v1/subscriptions/{subscription['id']}"
        await api.call("PATCH", one, json={"webhook_url": other.url})
        await api.call("POST", f"{one}/test")
        # What is proven is committed with the outcome.
        await api.ended(proving, subscription, ("delivered",), count=3)
        assert types_of(other) == ["red.verify", "red.test"]

        proving.kill()
        proving.start()
        proving.until_ready()
        await api.sent(service, b.a_png())
        await other.until(3)
        assert types_of(other) == ["red.verify", "red.test", "red.alert"]


async def test_redirects_are_not_followed_and_long_answers_not_read(api, service, stats):
    async def redirecting(request):
        return web.Response(status=307, headers={"Location": f"{other.url}"})

    async def endless(request):
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 65536)
                await asyncio.sleep(0)
        except ConnectionError:
            return response

    async with Receiver() as other, Receiver(redirecting) as first, Receiver(endless) as second:
        redirected = await api.subscribed(stats, first.url)
        flooded = await api.subscribed(stats, second.url)
        await api.sent(service, b.a_png())
        [delivery] = await api.ended(stats, flooded)
        assert delivery["state"] == "delivered"
        await first.until(1)
        await api.call("DELETE", f"{stats.url}/v1/subscriptions/{redirected['id']}")
        assert other.got == []
        [cancelled] = await api.ended(stats, redirected, ("cancelled",))
        assert "redirects are not followed" in cancelled["attempts"][0]["error"]


async def test_a_hanging_webhook_delays_no_count_and_no_other_webhook(api, service, stats):
    async def hang(request):
        await asyncio.sleep(300)
        return 200

    async with Receiver(hang) as hanging, Receiver() as prompt:
        await api.subscribed(stats, hanging.url, 0)
        await api.subscribed(stats, prompt.url, 0)
        items = []
        for number in range(20):
            items.append(await api.sent(service, b.a_png()))
            await prompt.until(number + 1, seconds=2)
        _, live = await api.call("GET", f"{stats.url}/v1/live?at_least={items[-1]['position']}")
        assert live["totals"]["1h"]["images"] == 20
        assert hanging.got == []


@pytest.fixture
def roomy(kafka, stats, tmp_path):
    """A worker for which each address of this machine's own network is another host."""
    given = {"RED_WEBHOOK_ALLOW": "127.0.0.0/8", "RED_WEBHOOK_TIMEOUT": "120"}
    with instead_of(stats, kafka, tmp_path, **given) as service:
        yield service


async def test_300_alerts_to_receivers_that_hang_delay_no_webhook_of_another_client(kafka, service, roomy):
    asked = []

    async def hang(request):
        asked.append(request.path)
        await asyncio.sleep(300)
        return 200

    async with (
        Receiver(hang, host="0.0.0.0") as hanging,
        Receiver() as prompt,
        an_api(kafka, service, roomy) as hostile,
        an_api(kafka, service, roomy) as honest,
    ):
        urls = [f"http://127.0.0.{2 + number % 10}:{hanging.port}/{number}" for number in range(75)]
        made = await asyncio.gather(*(hostile.subscribed(roomy, url, 0) for url in urls))
        await honest.subscribed(roomy, prompt.url, 0)
        for _ in range(4):
            await hostile.sent(service, b.a_png())
        await hostile.ended(roomy, made[-1], ("pending",), count=4)

        await honest.sent(service, b.a_png())

        await prompt.until(1, seconds=10)
        assert len(asked) <= 32
        assert hanging.got == []


def test_after_all_that_verify_says_equal(stats):
    code, report = verified(stats)
    assert (code, report["differences"]) == (0, [])
    assert sum(s["implied"] for s in report["subscriptions"]) >= 10
