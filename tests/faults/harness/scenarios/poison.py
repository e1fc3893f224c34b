"""A record that nobody can read in every topic; then a restart, which reads the changelogs anew."""

import asyncio
import json
import time
import uuid

from aiokafka import AIOKafkaProducer

from red_stats import topics
from tests.conftest import PARTITIONS
from tests.faults.harness.clients import produce
from tests.faults.harness.load import an_event
from tests.faults.harness.scenario import scenario
from tests.faults.harness.scenarios.commands import command
from tests.new_topics import limit_records
from tests.raw_headers import produce_raw_header

DEEP = b"[" * 100_000
GARBAGE = (b"", b"\xff\xfe\x00", b"{", b"null", b"[]", b'"x"', b"{}", DEEP, b"x" * 900_000)
EVENTS = (topics.MEASUREMENTS, topics.SUBSCRIPTION_COMMANDS, topics.DELIVERY_TASKS)
READ = (*EVENTS, topics.ALERTS, topics.DELIVERIES)
OUTPUTS = (topics.COMMAND_RESULTS, topics.DELIVERIES, topics.API_KEYS, topics.DEAD_LETTERS)
STATE = (
    topics.SUBSCRIPTIONS, topics.WINDOWS_CHANGELOG, topics.ALERT_SEQUENCES_CHANGELOG,
    topics.ANSWERS_CHANGELOG, topics.PENDING_CHANGELOG, topics.PROVEN_CHANGELOG,
    topics.RECORD_MARKS_CHANGELOG,
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


LARGEST = 48 << 20  # bytes of a record; with more of them, the small broker has too little memory
QUOTED = (
    b'{"command":"%b","command_id":"q","client_id":"%b"}',
    b'{"command":"subscribe","command_id":"q","client_id":"%b","%b":1}',
)


def too_large(client_id, partition):
    """Records of up to LARGEST bytes that begin like good ones, and commands whose rejection quotes them."""
    key, long = client_id.encode(), b"x" * 900_000
    filled = [
        json.dumps(an_event(client_id) | {"decoder": "x" * size}).encode() for size in (2 << 20, LARGEST)
    ]
    records = [(topic, key, value, partition, []) for topic in READ for value in filled]
    quoted = [QUOTED[0] % (long, key), QUOTED[1] % (key, long)]
    records += [(topics.SUBSCRIPTION_COMMANDS, key, value, partition, []) for value in quoted]
    return [*records, (topics.MEASUREMENTS, key, b"{" + long, partition, [])]


@scenario("poison too large to read", times=2)
async def large(run):
    """Packed and as it is, in every topic that is read; and letters that their topic does not take whole."""
    bootstrap, client = run.system.bootstrap, run.clients[0]
    partition = run.clients.index(client)
    await limit_records(bootstrap, LARGEST + (1 << 20), *READ)
    await limit_records(bootstrap, 1 << 20, topics.DEAD_LETTERS)
    for packed in ("gzip", None):
        places = await produce(
            bootstrap,
            too_large(client.client_id, partition),
            max_request_size=LARGEST + (1 << 20), max_batch_size=1, compression_type=packed,
        )  # fmt: skip
        run.evidence.poison.update(places)
    return await poisoned(run, [])


@scenario("a transaction that somebody leaves open", times=2)
async def foreign(run):
    """First it hides what is committed from who loads it, as thresholds move and the worker dies; then
    nothing can be read any more.
    """
    await run.moment()
    bootstrap, worker = run.system.bootstrap, run.system.workers["all-1"]
    async with AIOKafkaProducer(
        bootstrap_servers=bootstrap, transactional_id=str(uuid.uuid4()), transaction_timeout_ms=600_000
    ) as stranger:
        await stranger.begin_transaction()
        await _touched(stranger, STATE)
        await run.flowing(200)
        moved = zip(run.clients, run.subscriptions, strict=True)
        updates = [command(run, c, s, command="update", threshold=0.7) for c, s in moved]
        await produce(bootstrap, updates)
        await run.flowing(200)
        await asyncio.to_thread(worker.restart)
        await _touched(stranger, READ)
        await run.lasting(30, 8)
        await stranger.abort_transaction()
    since = time.monotonic()
    await run.system.until_ready()
    return since


async def _touched(stranger, names):
    for topic in names:
        for number in range(PARTITIONS):
            await stranger.send_and_wait(topic, b"{}", b"nobody", partition=number)


@scenario("poison in the headers of every topic", times=1)
async def headers(run):
    """A header key that is no UTF-8, as a client in another language may send it."""
    names = (*EVENTS, *OUTPUTS, topics.ALERTS, *STATE)
    places = [await produce_raw_header(run.system.bootstrap, topic, 0, b"nobody", b"{}") for topic in names]
    run.evidence.poison.update(places)
    return await poisoned(run, [])
