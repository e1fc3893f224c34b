"""Role deliver dies, or gives its partitions away, around the making of a digest.

Every alert ends in exactly one webhook, which has the same bytes whenever it comes.
"""

import asyncio
import json
import signal
import time
from collections import Counter
from contextlib import ExitStack
from datetime import datetime

import pytest
from aiokafka import AIOKafkaProducer

from red_stats import topics
from tests.builders import a_measurement
from tests.receiver import Receiver
from tests.services import an_api, running, verified, worker
from tests.system.records import records

SECONDS = 7  # of an interval: longer than it takes to have an alert delivered
MOMENTS = ("before", "in", "after")


class Place:
    """One worker for each role, a client and its receiver; only deliver dies."""

    def __init__(self, kafka, roles, api, receiver):
        self.kafka, self.roles, self.api, self.receiver = kafka, roles, api, receiver
        self.deliver = roles["deliver"]

    async def subscribed(self):
        url = self.receiver.url
        made = await self.api.subscribed(self.roles["live"], url, 0.5, max_age=None, min_interval=SECONDS)
        return made["id"]

    async def raise_alert(self, name):
        """One image over the threshold of every subscription; the Kafka time (s) of the alert of one."""
        before = len(await self.alerts(name))
        value, key = a_measurement(self.api.client_id, 0.9), self.api.client_id.encode()
        async with AIOKafkaProducer(bootstrap_servers=self.kafka) as producer:
            await producer.send_and_wait(topics.MEASUREMENTS, value, key)
        async with asyncio.timeout(30):
            while len(found := await self.alerts(name)) == before:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        return found[-1].timestamp / 1000

    async def alerts(self, name):
        found = await records(self.kafka, topics.ALERTS, self.api.client_id)
        return [record for record in found if json.loads(record.value)["subscription_id"] == name]

    async def told(self, name):
        """Events on red.deliveries of one subscription."""
        found = await records(self.kafka, topics.DELIVERIES, self.api.client_id)
        events = [json.loads(record.value) for record in found]
        return [event for event in events if event["subscription_id"] == name]

    async def until_delivered(self, name, count):
        """Returns once so many alerts of a subscription are told to be delivered."""
        async with asyncio.timeout(60):
            while True:
                events = [event for event in await self.told(name) if event["state"] == "delivered"]
                if sum(event["count"] for event in events) >= count:
                    return
                await asyncio.sleep(0.05)

    async def dies_at(self, point):
        code = await asyncio.to_thread(self.deliver.process.wait, 60)
        assert code == -signal.SIGKILL, f"{point} was never reached"

    async def starts(self, **changes):
        self.deliver.start(**changes)
        await asyncio.to_thread(self.deliver.until_ready)

    async def ended(self, name):
        """The subscription is deleted: the images that follow are none of its."""
        url = f"{self.roles['live'].url}/v1/subscriptions/{name}"
        assert (await self.api.call("DELETE", url))[0] == 204

    async def webhooks(self, name):
        """{webhook-id: (kind, first, last)} of what arrived, judged with what red.deliveries says."""
        bodies, times = {}, Counter()
        for got in self.receiver.got:
            data = got.body["data"]
            if data["subscription_id"] == name:
                assert bodies.setdefault(got.id, got.raw) == got.raw, "the same bytes whenever it comes"
                times[got.id] += 1
        found = {}
        for webhook_id, raw in bodies.items():
            body = json.loads(raw)
            data, kind = body["data"], body["type"].removeprefix("red.")
            first, last = data.get("first_seq", data.get("seq")), data.get("last_seq", data.get("seq"))
            found[webhook_id] = (kind, first, last)
        ends = Counter(e["webhook_id"] for e in await self.told(name) if e["state"] == "delivered")
        assert ends == dict.fromkeys(found, 1)
        numbers = [n for _, first, last in found.values() for n in range(first, last + 1)]
        assert sorted(numbers) == list(range(1, len(await self.alerts(name)) + 1))
        return {found[name]: times[name] for name in found}


@pytest.fixture
async def place(kafka, tmp_path):
    with ExitStack() as stack:
        roles = {
            role: stack.enter_context(running(worker(kafka, tmp_path, role=role, RED_INSTANCE=f"d-{role}")))
            for role in ("live", "record", "deliver")
        }
        async with an_api(kafka, roles["live"]) as api, Receiver() as receiver:
            place = Place(kafka, roles, api, receiver)
            yield place
            code, report = await asyncio.to_thread(verified, roles["record"], "--client", api.client_id)
            assert (code, report["differences"]) == (0, [])


async def until(moment):
    """Returns at a time by the wall clock."""
    await asyncio.sleep(max(0.0, moment - time.time()))


# transactions of a life: the first alert, its outcome, the alert that joins, the digest, its outcome
JOINING, MAKING = 3, 4
BY_TIMER = [f"deliver.{moment}-transaction#{n}" for n in (JOINING, MAKING) for moment in MOMENTS] + [
    "deliver.before-post#2",
    "deliver.after-post#2",
]


async def test_a_digest_made_by_the_timer_survives_a_crash_at_every_point(place):
    for point in BY_TIMER:
        name = await place.subscribed()
        place.deliver.stop()
        await place.starts(RED_CRASH_AT=point)
        began = await place.raise_alert(name)
        await place.until_delivered(name, 1)
        joined = await place.raise_alert(name)
        assert joined < began + SECONDS, "too slow to have an alert wait"
        await place.dies_at(point)
        has_ended = time.time() > began + SECONDS
        assert has_ended is (f"#{JOINING}" not in point), f"{point} is another transaction than was meant"
        await place.starts()
        await place.until_delivered(name, 2)
        again = 2 if point == "deliver.after-post#2" else 1
        assert await place.webhooks(name) == {("alert", 1, 1): 1, ("digest", 2, 2): again}, point
        await place.ended(name)


BY_FOLD = [f"deliver.{moment}-transaction" for moment in MOMENTS] + [
    "deliver.before-post",
    "deliver.after-post",
]


async def test_a_digest_made_by_the_fold_survives_a_crash_at_every_point(place):
    """Its time came while no worker ran, and an alert from behind it is folded first."""
    for point in BY_FOLD:
        name = await place.subscribed()
        place.deliver.stop()
        await place.starts(RED_CRASH_AT=f"deliver.after-transaction#{JOINING}")
        began = await place.raise_alert(name)
        await place.until_delivered(name, 1)
        await place.raise_alert(name)
        await place.dies_at("the join")
        await until(began + SECONDS + 0.1)
        await place.raise_alert(name)
        place.deliver.start(RED_CRASH_AT=point)
        await place.dies_at(point)
        await place.starts()
        await place.until_delivered(name, 3)
        webhooks = await place.webhooks(name)
        assert webhooks.pop(("digest", 2, 2)) == (2 if point == "deliver.after-post" else 1)
        assert set(webhooks) <= {("alert", 1, 1), ("digest", 3, 3), ("alert", 3, 3)}
        [due] = {
            e["enqueued_at"] for e in await place.told(name) if (e["first_seq"], e["last_seq"]) == (2, 2)
        }
        [first] = {e["enqueued_at"] for e in await place.told(name) if e["first_seq"] == 1}
        assert seconds_of(due) - seconds_of(first) == pytest.approx(SECONDS), "late, and unchanged"
        await place.ended(name)


def seconds_of(text):
    return datetime.fromisoformat(text).timestamp()


async def test_alerts_that_wait_move_with_their_partition_to_a_worker_that_takes_it(place, kafka, tmp_path):
    name = await place.subscribed()
    began = await place.raise_alert(name)
    await place.until_delivered(name, 1)
    await place.raise_alert(name)
    (tmp_path / "other").mkdir()
    with running(worker(kafka, tmp_path / "other", role="deliver")) as second:
        place.deliver.stop()  # a static member's partitions move when its session has ended
        await place.raise_alert(name)
        await place.until_delivered(name, 3)
        assert second.process.poll() is None
    webhooks = await place.webhooks(name)
    assert {webhook[1:] for webhook in webhooks} <= {(1, 1), (2, 2), (2, 3), (3, 3)}
    assert set(webhooks.values()) == {1}
    digest = next(e for e in await place.told(name) if e["first_seq"] == 2)
    assert seconds_of(digest["enqueued_at"]) == pytest.approx(began + SECONDS)
