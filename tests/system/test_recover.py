"""What has ended goes out again when its client asks: the same webhook-id, the same bytes."""

import asyncio
from datetime import datetime

import pytest

from tests.receiver import Receiver
from tests.services import an_api, running, worker
from tests.system.test_digests import alerted
from tests.system.test_webhooks import instead_of

FAILED = ("exhausted",)


@pytest.fixture(scope="module")
def stats(kafka, tmp_path_factory):
    """A worker that gives a delivery up at its third attempt."""
    folder = tmp_path_factory.mktemp("recover")
    with running(worker(kafka, folder, RED_WEBHOOK_SCHEDULE="0.2,0.2")) as service:
        yield service


@pytest.fixture
async def receiver():
    async with Receiver(500) as receiver:
        yield receiver


@pytest.fixture
async def place(api, stats, kafka, receiver):
    class Place:
        """One subscription, whose receiver fails until it is told otherwise."""

        async def subscribe(self, **fields):
            self.subscription = await api.subscribed(stats, receiver.url, 0.25, max_age=None, **fields)
            receiver.secrets.append(self.subscription["secret"])
            self.one = f"{stats.url}/v1/subscriptions/{self.subscription['id']}"
            return self

        async def alert(self, count):
            return await alerted(api, stats, kafka, self.subscription, count)

        async def ended(self, count, state=FAILED):
            return await api.ended(stats, self.subscription, state, count)

        async def redeliver(self, delivery_id):
            return await api.call("POST", f"{stats.url}/v1/deliveries/{delivery_id}/redeliver")

        async def recover(self, **body):
            return await api.call("POST", f"{self.one}/recover", json=body)

        def webhooks(self):
            """Each request as (webhook-id, bytes), in its order."""
            return [(got.id, got.raw) for got in receiver.got]

    return Place()


async def test_one_delivery_is_sent_again_with_its_id_and_bytes_and_counts_its_attempts_on(place, receiver):
    await place.subscribe()
    await place.alert(1)
    [failed] = await place.ended(1)
    before = place.webhooks()
    assert len(set(before)) == 1
    receiver.answer = 204

    assert await place.redeliver(failed["id"]) == (202, {"delivery_id": failed["id"]})

    [delivered] = await place.ended(1, ("delivered",))
    assert place.webhooks() == [*before, before[0]]
    numbers = [attempt["attempt"] for attempt in delivered["attempts"]]
    assert numbers == list(range(1, len(failed["attempts"]) + 2))
    assert receiver.got[-1].verified
    status, _ = await place.redeliver(failed["id"])  # it may be wanted once more
    assert status == 202
    await receiver.until(len(before) + 2)
    assert place.webhooks()[-1] == before[0]


async def test_a_webhook_shows_the_bytes_that_were_sent(place, api, stats, kafka, service, receiver):
    async def taken_later(request):
        return 204 if receiver.got else 500

    receiver.answer = taken_later
    await place.subscribe(min_interval=3)
    await place.alert(150)
    for delivery in await place.ended(2, ("delivered",)):
        url = f"{stats.url}/v1/deliveries/{delivery['id']}/webhook"
        status, shown = await api.call("GET", url)
        assert status == 200
        sent = [got for got in receiver.got if got.id == shown["headers"]["webhook-id"]]
        assert {got.raw for got in sent} == {shown["body"].encode()}
        assert [int(got.timestamp) for got in sent] == [
            int(datetime.fromisoformat(attempt["at"]).timestamp()) for attempt in delivery["attempts"]
        ]
        async with an_api(kafka, service, stats) as other:
            status, problem = await other.call("GET", url)
            assert (status, problem["code"]) == (404, "not_found")


async def test_what_a_test_event_says_is_not_kept(place, api, stats):
    await place.subscribe()
    _, test = await api.call("POST", f"{place.one}/test")
    await place.ended(1)
    status, problem = await api.call("GET", f"{stats.url}/v1/deliveries/{test['delivery_id']}/webhook")
    assert (status, problem["detail"]) == (404, "What a test event says is not kept.")


async def test_a_redelivery_that_fails_has_a_whole_new_schedule(place):
    await place.subscribe()
    await place.alert(1)
    [failed] = await place.ended(1)
    tries = len(failed["attempts"])
    await place.redeliver(failed["id"])
    async with asyncio.timeout(60):
        while len((await place.ended(1))[0]["attempts"]) < 2 * tries:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    [again] = await place.ended(1)
    assert [attempt["attempt"] for attempt in again["attempts"]] == list(range(1, 2 * tries + 1))


async def test_what_cannot_be_sent_again_says_why(place, api, stats, receiver):
    await place.subscribe()
    status, problem = await place.redeliver("nothing")
    assert (status, problem["code"]) == (404, "not_found")
    _, test = await api.call("POST", f"{place.one}/test")
    await place.ended(1)
    status, problem = await place.redeliver(test["delivery_id"])
    assert (status, problem["code"]) == (409, "delivery_not_repeatable")
    await place.alert(1)
    failed = next(one for one in await place.ended(2) if one["kind"] == "alert")
    await api.call("PATCH", place.one, json={"enabled": False})
    status, problem = await place.redeliver(failed["id"])
    assert (status, problem["code"]) == (409, "subscription_disabled")
    status, problem = await place.recover(after_seq=0)
    assert (status, problem["code"]) == (409, "subscription_disabled")
    await api.call("PATCH", place.one, json={"enabled": True})
    hold = asyncio.Event()

    async def answer(request):
        await hold.wait()
        return 204

    receiver.answer = answer
    both = await asyncio.gather(place.redeliver(failed["id"]), place.redeliver(failed["id"]))
    assert sorted(status for status, _ in both) == [
        202,
        409,
    ]  # the first one's is pending when it is answered
    status, problem = await place.redeliver(failed["id"])
    assert (status, problem["code"]) == (409, "delivery_pending")
    assert await place.recover(after_seq=0) == (202, {"deliveries": 0})
    hold.set()


async def test_recover_sends_what_no_webhook_has_delivered_and_with_all_everything(place, receiver):
    await place.subscribe()
    await place.alert(2)
    await place.ended(2)
    receiver.answer = 204
    third = (await place.alert(1))[0]
    await place.ended(3, ("exhausted", "delivered"))
    before = set(place.webhooks())

    assert await place.recover(after_seq=1) == (202, {"deliveries": 1})
    await place.ended(3, ("exhausted", "delivered"))
    assert await place.recover(since="2026-01-01T00:00:00Z") == (202, {"deliveries": 1})
    items = await place.ended(3, ("delivered",))
    assert {item["first_seq"] for item in items} == {1, 2, 3}
    assert await place.recover(after_seq=0) == (202, {"deliveries": 0})
    count = len(receiver.got)
    assert await place.recover(after_seq=third["seq"] - 1, all=True) == (202, {"deliveries": 1})
    await receiver.until(count + 1)
    assert set(place.webhooks()) == before  # never another id or other bytes


async def test_a_dry_run_tells_how_many_would_go_out_and_sends_nothing(place, receiver):
    await place.subscribe()
    await place.alert(2)
    before, count = await place.ended(2), len(receiver.got)
    receiver.answer = 204

    for point, number in (({"after_seq": 0}, 2), ({"after_seq": 1}, 1), ({"after_seq": 2}, 0)):
        assert await place.recover(**point, dry_run=True) == (200, {"deliveries": number})

    assert await place.ended(2) == before
    assert len(receiver.got) == count
    assert await place.recover(after_seq=0) == (202, {"deliveries": 2})
    await place.ended(2, ("delivered",))
    assert await place.recover(after_seq=0, dry_run=True) == (200, {"deliveries": 0})
    assert await place.recover(after_seq=0, dry_run=True, all=True) == (200, {"deliveries": 2})


@pytest.fixture
def small(kafka, stats, tmp_path):
    """A worker that keeps 20 rows of an endpoint, and tries once an hour."""
    given = {"RED_WEBHOOK_ROWS": "20", "RED_WEBHOOK_SCHEDULE": "3600"}
    with instead_of(stats, kafka, tmp_path, **given) as service:
        yield service


async def test_what_there_is_no_room_for_is_refused_and_not_dropped(api, small, kafka, receiver):
    receiver.answer = 204
    subscription = await api.subscribed(small, receiver.url, 0.25, max_age=None)
    await alerted(api, small, kafka, subscription, 25)
    items = await api.ended(small, subscription, ("delivered",), 25)
    receiver.answer = 500

    async def recover(after_seq):
        body = {"after_seq": after_seq, "all": True}
        url = f"{small.url}/v1/subscriptions/{subscription['id']}/recover"
        status, found = await api.call("POST", url, json=body)
        return status, found.get("deliveries", found.get("code"))

    assert await recover(0) == (422, "too_many")
    assert await recover(10) == (202, 15)
    assert await recover(0) == (422, "too_many")  # ten more
    assert await recover(5) == (202, 5)
    [first] = [item["id"] for item in items if item["first_seq"] == 1]
    status, problem = await api.call("POST", f"{small.url}/v1/deliveries/{first}/redeliver")
    assert (status, problem["code"]) == (422, "too_many")
    assert "20 deliveries of the endpoint" in problem["detail"]


async def test_a_digest_is_recovered_as_the_digest_it_was(place, receiver):
    await place.subscribe(min_interval=3)
    await place.alert(150)
    items = await place.ended(2)
    assert {(item["kind"], item["count"]) for item in items} == {("alert", 1), ("digest", 149)}
    before = set(place.webhooks())
    receiver.answer = 204

    assert await place.recover(since="2026-01-01T00:00:00Z", all=True) == (202, {"deliveries": 2})
    await place.ended(2, ("delivered",))
    assert await place.recover(after_seq=100, all=True) == (202, {"deliveries": 1})

    await place.ended(2, ("delivered",))
    await receiver.until(lambda receiver: receiver.got[-1].body["type"] == "red.digest")
    assert set(place.webhooks()) == before


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 400, "invalid_body"),
        ({"after_seq": 1, "since": "2026-01-01T00:00:00Z"}, 400, "invalid_body"),
        ({"after_seq": "1"}, 400, "invalid_body"),
        ({"after_seq": -1}, 422, "value_out_of_range"),
        ({"after_seq": 1 << 62}, 422, "value_out_of_range"),
        ({"since": "yesterday"}, 400, "invalid_body"),
        ({"after_seq": 1, "all": 1}, 400, "invalid_body"),
        ({"after_seq": 1, "every": True}, 400, "invalid_body"),
        ({"after_seq": 1, "dry_run": "yes"}, 400, "invalid_body"),
    ],
)
async def test_a_point_that_is_none_is_refused(place, body, status, code):
    await place.subscribe()
    found, problem = await place.recover(**body)
    assert (found, problem["code"]) == (status, code)


async def test_what_another_client_has_is_not_there(place, api, stats, service, kafka):
    await place.subscribe()
    await place.alert(1)
    [failed] = await place.ended(1)
    async with an_api(kafka, service, stats) as other:
        for path, body in (
            (f"deliveries/{failed['id']}/redeliver", None),
            (f"subscriptions/{place.subscription['id']}/recover", {"after_seq": 0}),
        ):
            status, problem = await other.call("POST", f"{stats.url}/v1/{path}", json=body)
            assert (status, problem["code"]) == (404, "not_found")
        [alert] = (await api.call("GET", f"{stats.url}/v1/alerts"))[1]["items"]
        status, problem = await other.call("GET", f"{stats.url}/v1/alerts/{alert['id']}")
        assert (status, problem["code"]) == (404, "not_found")
    assert (await place.ended(1))[0]["attempts"] == failed["attempts"]


async def test_pages_of_a_state_hold_what_is_in_it_now(place, api, stats, receiver):
    await place.subscribe()
    await place.alert(2)
    await place.ended(2)
    receiver.answer = 204
    assert await place.recover(after_seq=1) == (202, {"deliveries": 1})
    await place.ended(2, ("delivered", "exhausted"))
    for state, seqs in (("exhausted", [1]), ("delivered", [2])):
        found, after = [], ""
        while after is not None:
            url = f"{stats.url}/v1/deliveries?state={state}&limit=1&after={after}".removesuffix("&after=")
            _, page = await api.call("GET", url)
            found += [item["first_seq"] for item in page["items"]]
            after = page["next"]
        assert found == seqs


async def test_alerts_that_wait_for_a_digest_are_not_sent_again(place, api, receiver):
    receiver.answer = 204
    await place.subscribe(min_interval=3)
    await place.alert(4)
    assert await place.recover(after_seq=0) == (202, {"deliveries": 0})
    await receiver.until(2)
    assert [got.body["type"] for got in receiver.got] == ["red.alert", "red.digest"]


async def test_any_time_is_a_point(place):
    await place.subscribe()
    for since in ("1970-01-01T00:00:00Z", "9999-12-31T23:59:59.999Z"):
        assert await place.recover(since=since) == (202, {"deliveries": 0})
