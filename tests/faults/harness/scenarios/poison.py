"""A record that nobody can read in every topic; then a restart, which reads the changelogs anew."""

import asyncio
import json
import time

from red_stats import topics
from tests.conftest import PARTITIONS
from tests.faults.harness.clients import produce
from tests.faults.harness.load import an_event
from tests.faults.harness.scenario import scenario
from tests.raw_headers import produce_raw_header

DEEP = b"[" * 100_000
GARBAGE = (b"", b"\xff\xfe\x00", b"{", b"null", b"[]", b'"x"', b"{}", DEEP, b"x" * 900_000)
EVENTS = (topics.MEASUREMENTS, topics.SUBSCRIPTION_COMMANDS, topics.DELIVERY_TASKS)
OUTPUTS = (topics.COMMAND_RESULTS, topics.DELIVERIES, topics.API_KEYS, topics.DEAD_LETTERS)
STATE = (
    topics.SUBSCRIPTIONS, topics.WINDOWS_CHANGELOG, topics.ALERT_SEQUENCES_CHANGELOG,
    topics.ANSWERS_CHANGELOG, topics.PENDING_CHANGELOG, topics.RECORD_MARKS_CHANGELOG,
)  # fmt: skip


def poisons(topic, partitions=PARTITIONS):
    """Garbage under strange keys, in every partition."""
    numbers = range(1 if topic == topics.API_KEYS else partitions)
    return [
        (topic, key, value, number, [])
        for number in numbers
        for value in GARBAGE
        for key in (b"\xff\x00", b"nobody")
    ]


async def poisoned(run, records):
    """The records are there, images flow on, and the worker starts again over them."""
    await run.moment()
    run.evidence.poison.update(await produce(run.system.bootstrap, records))
    since = time.monotonic()
    await run.recovered(since)
    worker = run.system.workers["all-1"]
    await asyncio.to_thread(worker.restart)
    since = time.monotonic()
    await run.system.until_ready()
    return since


def of_all(names):
    """The poisons of several topics."""
    return [record for topic in names for record in poisons(topic)]


@scenario("poison in every topic of events and answers", times=2)
async def events(run):
    """What others may write to, and what we write ourselves."""
    return await poisoned(run, of_all((*EVENTS, *OUTPUTS)))


@scenario("poison in red.alerts", times=1)
async def alerts(run):
    """Deliver sends them to the dead letters; nobody but live writes alerts."""
    return await poisoned(run, poisons(topics.ALERTS))


@scenario("poison in every changelog", times=2)
async def changelogs(run):
    """Read by nobody before the next takeover."""
    return await poisoned(run, of_all(STATE))


@scenario("poison that looks like a measurement", times=2)
async def alike(run):
    """Strange values and times, and keys that are not the client's."""
    client_id = run.clients[0].client_id
    values = [
        an_event(client_id) | change
        for change in (
            {"red": 1.5}, {"red": 0.12345}, {"red": "0.5"}, {"client_id": "NO"}, {"image_id": ""},
            {"measured_at": "2999-01-01T00:00:00Z"}, {"measured_at": "1960-01-01T00:00:00Z"},
            {"measured_at": "yesterday"}, {"client_id": run.clients[1].client_id},
        )
    ]  # fmt: skip
    key = client_id.encode()
    return await poisoned(run, [(topics.MEASUREMENTS, key, json.dumps(v).encode()) for v in values])


@scenario("poison in the headers of every topic", times=1)
async def headers(run):
    """A header key that is no UTF-8, as a client in another language may send it."""
    names = (*EVENTS, *OUTPUTS, topics.ALERTS, *STATE)
    places = [await produce_raw_header(run.system.bootstrap, topic, 0, b"nobody", b"{}") for topic in names]
    run.evidence.poison.update(places)
    return await poisoned(run, [])
