"""Role deliver dies again and again while an endpoint is given up, probed, enabled and told of.

Each change is told once, every notice and every alert is one webhook, and in the end nothing is held.
"""

import asyncio
import json
from collections import Counter, defaultdict
from contextlib import ExitStack

import pytest
from aiokafka import AIOKafkaProducer

from red_stats import topics
from tests.builders import a_measurement
from tests.receiver import Receiver
from tests.services import an_api, running, verified, worker
from tests.system.records import records

SETTINGS = {
    "RED_WEBHOOK_DISABLE_HOURS": "0.004",  # a longer silence than between two lives counts for nothing
    "RED_WEBHOOK_PROBE_SCHEDULE": "1",
    "RED_WEBHOOK_SCHEDULE": ",".join(["0.5"] * 200),
}  # fmt: skip
ALERTS = 4


@pytest.fixture
def roles(kafka, tmp_path):
    with ExitStack() as stack:
        yield {
            role: stack.enter_context(
                running(worker(kafka, tmp_path, role=role, RED_INSTANCE=f"p-{role}", **SETTINGS))
            )
            for role in ("live", "record", "deliver")
        }


async def raise_alerts(kafka, client_id):
    async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
        for _ in range(ALERTS):
            value = a_measurement(client_id, 0.9)
            await producer.send_and_wait(topics.MEASUREMENTS, value, client_id.encode())


async def told(kafka, client_id):
    return [json.loads(record.value) for record in await records(kafka, topics.DELIVERIES, client_id)]


def changes_of(events):
    """The changes that were told; where all of it takes a minute, it is told as failing, too."""
    return [event["state"] for event in events if event["kind"] == "health"]


def is_done(events):
    """Whether it was disabled and enabled, every notice was taken, and every alert."""
    last = {event["id"]: event for event in events if event["kind"] != "health"}
    ended = Counter(event["kind"] for event in last.values() if event["state"] == "delivered")
    changes = changes_of(events)
    was_both = [one for one in changes if one in ("disabled", "enabled")] == ["disabled", "enabled"]
    return was_both and ended["notice"] == len(changes) and ended["alert"] == ALERTS


MOMENTS = ("before-transaction", "in-transaction", "after-transaction", "after-post")
LIVES = [f"deliver.{moment}#{number}" for number in (3, 2, 5) for moment in MOMENTS]
NOT_KILLED = ""  # on a slow machine the silences between lives count for nothing: one has to live long enough


async def test_whenever_it_dies_an_endpoint_goes_through_all_of_it_once(kafka, roles):
    deliver = roles["deliver"]
    deliver.stop()
    async with an_api(kafka, roles["live"]) as api, Receiver(500) as lost, Receiver() as heard:
        subscription = await api.subscribed(roles["live"], lost.url, 0.5, max_age=None)
        other = await api.subscribed(roles["live"], heard.url, 1, notices=True)
        lost.secrets.append(subscription["secret"])
        heard.secrets.append(other["secret"])
        await raise_alerts(kafka, api.client_id)
        for point in (*LIVES, NOT_KILLED):
            deliver.start(RED_CRASH_AT=point)
            while deliver.process.poll() is None and not is_done(events := await told(kafka, api.client_id)):
                if any(event["state"] == "disabled" for event in events):
                    lost.answer = 200
                await asyncio.sleep(0.1)
            if deliver.process.poll() is None:
                break
        events = await told(kafka, api.client_id)
        assert is_done(events)
        ends = Counter(event["id"] for event in events if event["state"] == "delivered")
        assert set(ends.values()) == {1}
        bodies = defaultdict(set)
        for got in (*lost.got, *heard.got):
            assert got.verified
            bodies[got.id].add(got.raw)
        assert all(len(same) == 1 for same in bodies.values())
        kinds = Counter(json.loads(raw)["type"] for [raw] in bodies.values())
        assert (kinds["red.alert"], kinds["red.notice"]) == (ALERTS, len(changes_of(events)))
        assert sorted(alert["seq"] for alert in lost.alerts()) == list(range(1, ALERTS + 1))
        code, report = await asyncio.to_thread(verified, roles["record"], "--client", api.client_id)
        assert (code, report["differences"]) == (0, [])
