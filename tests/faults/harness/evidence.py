"""Everything an outsider can see after a scenario: the log, the answers, what arrived, and `verify`."""

import asyncio
import contextlib
import json
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

MEASUREMENTS, ALERTS = "red.measurements", "red.alerts"
RESULTS, DELIVERIES = "red.command-results", "red.deliveries"
TOPICS = (MEASUREMENTS, ALERTS, RESULTS, DELIVERIES)
EVER = "from=1970-01-01T00:00:00Z&to=9999-01-01T00:00:00Z"
THRESHOLDS = (0, 0.25, 0.5, 0.75)


@dataclass
class Record:
    """A committed record of one of our clients, its value as JSON."""

    topic: str
    client_id: str
    partition: int
    offset: int
    value: dict[str, Any]
    timestamp: int = 0  # Kafka's, ms


@dataclass
class Post:
    """A POST that reached the receiver."""

    webhook_id: str
    raw: str
    verified: bool


@dataclass
class Evidence:
    """`ledgers` by client; `live` and `statistics` are the last answers.

    `poison` are the places (topic, partition, offset) of records that must count nowhere.
    """

    ledgers: dict[str, Any] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)
    posts: list[Post] = field(default_factory=list)
    live: dict[str, Any] = field(default_factory=dict)
    statistics: dict[str, Any] = field(default_factory=dict)
    verify: dict[str, Any] = field(default_factory=dict)
    poison: set[tuple[str, int, int]] = field(default_factory=set)
    clocks_turned: bool = False  # then only what does not ask "of the last hour" is compared

    def of(self, topic, client_id=None):
        """The records of a topic in their order."""
        mine = [r for r in self.records if r.topic == topic and client_id in (None, r.client_id)]
        return [r for r in mine if (topic, r.partition, r.offset) not in self.poison]


async def log_ends(bootstrap):
    """The end of every partition we read, uncommitted records included."""
    async with _consumer(bootstrap, "read_uncommitted") as consumer:
        partitions = await _partitions(consumer)
        return await consumer.end_offsets(partitions)


async def read_log(bootstrap, starts, clients, seconds=90):
    """Every committed record of the clients from `starts` to the ends now, open transactions awaited."""
    ends = await log_ends(bootstrap)
    found = []
    async with _consumer(bootstrap, "read_committed") as consumer, asyncio.timeout(seconds):
        consumer.assign(list(ends))
        for tp in ends:
            consumer.seek(tp, starts.get(tp, 0))
        waiting = set(ends)
        while waiting:
            for tp, records in (await consumer.getmany(timeout_ms=100)).items():
                found += [one for record in records if (one := _mine(tp, record, clients))]
            for tp in list(waiting):
                if await consumer.position(tp) >= ends[tp]:
                    waiting.discard(tp)
    return sorted(found, key=lambda r: (r.topic, r.partition, r.offset))


def _mine(tp, record, clients):
    client_id = (record.key or b"").decode(errors="replace")
    if client_id not in clients:
        return None
    with contextlib.suppress(ValueError):
        value = json.loads(record.value)
        if isinstance(value, dict):
            return Record(tp.topic, client_id, tp.partition, record.offset, value, record.timestamp)
    return None


def _consumer(bootstrap, isolation):
    return AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        isolation_level=isolation,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=50,
    )


async def _partitions(consumer):
    found = []
    for topic in TOPICS:
        numbers = await consumer._client._wait_on_metadata(topic)
        found += [TopicPartition(topic, number) for number in sorted(numbers)]
    return found


async def ask_views(evidence, clients):
    """Live and statistics of every client, once its last image is folded in."""
    query = "&".join(f"threshold={t}" for t in THRESHOLDS)
    for client in clients:
        log = evidence.of(MEASUREMENTS, client.client_id)
        last = f"at_least={log[-1].partition}:{log[-1].offset}" if log else ""
        evidence.live[client.client_id] = await client.ask("GET", f"/v1/live?{last}")
        path = f"/v1/statistics?{EVER}&{query}&{last}"
        evidence.statistics[client.client_id] = await client.ask("GET", path)


async def run_verify(environment, seconds=180):
    """The report of `red-stats verify`, or what it said."""

    def run():
        return subprocess.run(
            [sys.executable, "-m", "red_stats", "verify", "--json"],
            env=environment, capture_output=True, text=True, timeout=seconds,
        )  # fmt: skip

    done = await asyncio.to_thread(run)
    try:
        return json.loads(done.stdout)
    except ValueError:
        return {"equal": False, "error": f"exit code {done.returncode}: {done.stderr[-1000:]}"}
