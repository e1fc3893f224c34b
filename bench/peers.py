"""Role live beside what one would take instead: one topic, one job, one round after another.

    python -m bench.peers --install     once: packages into build/peers, nothing of ours changes
    python -m bench peers               all of it
    python -m bench.peers --events 30000 --rounds 1 --only quix --only streams

Every peer counts the same events into the same windows, writes the same alerts, and is timed by
itself from its first batch to its last commit. Afterwards what its durable state holds is added up
and compared with the set, and its alerts are read back: who counts wrong has no figure here.
"""

import argparse
import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from bench import events
from bench.counting import STOCK_EVENTS, settings_of, stock_topics, subscribe
from bench.databases import Databases, databases, missing
from bench.events import Span
from bench.job import Job
from bench.runs import ROOT, Rounds, a_broker, measured, repeated
from red_common.kafka.connection import KafkaConnection
from red_stats import topics
from red_stats.domain import windows
from red_stats.kafka.topic_admin import ensure_topics

ROUNDS = 5
BUILD = ROOT / "build" / "peers"  # ignored by git
PYTHON = BUILD / "venv" / "bin" / "python"
STREAMS = BUILD / "kafka-streams"
REQUIREMENTS = "bench/requirements-peers.txt"
# A young generation large enough that events die in it, the collector that costs the least.
JAVA = ["java", "-Xms1g", "-Xmx1g", "-XX:+UseParallelGC", "-cp", f"{STREAMS}/classes:{STREAMS}/lib/*", "Peer"]


class Set(NamedTuple):
    name: str
    events: int
    windows: int
    warm: bool = False  # for those alone that need no minutes for it


SETS = (
    Set("3 windows", 300_000, 3),
    Set("60 windows", 300_000, 60),
    Set("3 windows, long", 1_500_000, 3, warm=True),
)


class Peer(NamedTuple):
    """A program that does a Job; its rate is compared, so a slow one takes fewer events."""

    name: str
    command: Sequence[str]
    how: str = ""
    most: int = 1_500_000
    databases: bool = False

    def missing(self) -> str:
        """What must be done before it can run."""
        if self.databases and missing():
            return f"apt-get install postgresql redis-server (no {missing()})"
        program = STREAMS / "classes" / "Peer.class" if self.command == JAVA else Path(self.command[0])
        return (
            "" if program.exists() else f"pip install -r {REQUIREMENTS}, or python -m bench.peers --install"
        )


def _python(module: str) -> list[str]:
    return [str(PYTHON), "-m", f"bench.{module}"]


PEERS = (
    Peer("stock Faust, take(5000)", [sys.executable, "-m", "bench.run_take"], most=20_000),
    Peer("Quix Streams", _python("run_quix"), "at-least-once", most=50_000),
    Peer("Quix Streams, exactly once", _python("run_quix"), "exactly-once", most=50_000),
    Peer("Bytewax, fold_window", _python("run_bytewax"), "windows", most=300_000),
    Peer("Bytewax, stateful_batch", _python("run_bytewax"), "batches"),
    Peer("Kafka Streams", JAVA, "at_least_once"),
    Peer("Kafka Streams, exactly once", JAVA, "exactly_once_v2"),
    Peer("PostgreSQL + Redis, as drawn", _python("run_postgres"), "drawn", most=6_000, databases=True),
    Peer("PostgreSQL + Redis, COPY", _python("run_postgres"), "copied", databases=True),
    Peer("PostgreSQL, batched as ours", _python("run_postgres"), "merged", databases=True),
)


class Wrong(SystemExit):
    """Raised when a peer, or role live, has not done the job."""


class Comparison:
    """A broker, a folder, perhaps databases, and who takes part."""

    def __init__(self, bootstrap: str, folder: Path, servers: Databases | None, peers: list[Peer]) -> None:
        self._bootstrap = bootstrap
        self._folder = folder
        self._servers = servers
        self._peers = peers
        self._loaded = 0  # events of all sets, which role live has all counted
        self._number = 0

    def run(self, one: Set, rounds: int) -> None:
        figures = Rounds()
        peers = [peer for peer in self._peers if not one.warm or peer.most >= one.events]
        repeated(rounds, lambda number: self._round(figures, one, peers, number))
        names = ["raw", "live"] + ([] if one.warm else ["stock"]) + [peer.name for peer in peers]
        print(f"{one.name}: {one.events:,} events, {events.CLIENTS} clients, medians of {rounds} rounds")
        print(f"  {'':<30} {'events/s':>9} {'CPU/event':>12} {'live / it':>10} {'its CPU / live':>15}")
        for name in names:
            print(
                f"  {name:<30} {figures.median(name):>9,.0f} {figures.median(f'{name} cpu'):>9.1f} us"
                f" {figures.ratio('live', name):>10.2f} {figures.ratio(f'{name} cpu', 'live cpu'):>15.2f}"
                f"   ({figures.spread(name)})",
                flush=True,
            )

    def _round(self, figures: Rounds, one: Set, peers: list[Peer], number: int) -> None:
        self._number += 1
        span = asyncio.run(events.load(self._bootstrap, one.events, one.windows, self._number))
        self._loaded += one.events
        environment = settings_of(self._bootstrap, self._folder)
        raw = measured("bench.run_raw", self._bootstrap, topics.MEASUREMENTS, span.to_json())
        _add(figures, "raw", raw)
        _add(figures, "live", measured("bench.run_live", span.to_json(), environment=environment))
        asyncio.run(_check_live(self._bootstrap, self._loaded))
        if not one.warm:
            stock = f"stock-{self._number}"
            asyncio.run(stock_topics(self._bootstrap, stock, one.windows))
            arguments = self._bootstrap, stock, str(STOCK_EVENTS)
            _add(figures, "stock", measured("bench.run_stock", *arguments, environment=environment))
        for peer in peers:
            print(f"      {peer.name}", file=sys.stderr, flush=True)
            _add(figures, peer.name, self._peer(peer, one, span))

    def measure(self, peer: Peer, one: Set, span: Span, number: int) -> dict[str, Any]:
        """One peer on a set that is there already; `number` is of the round."""
        self._number = number
        return self._peer(peer, one, span)

    def _peer(self, peer: Peer, one: Set, span: Span) -> dict[str, Any]:
        with TemporaryDirectory(dir=self._folder) as folder:
            job = self._job(peer, one, span, folder)
            asyncio.run(_prepare(job))
            arguments = [job.to_json()]
            if peer.databases:
                assert self._servers is not None
                arguments += [self._servers.postgres, self._servers.redis]
            figures = _child([*peer.command, *arguments])
            counted = figures["events"] + job.warm
            if figures["images"] != counted:
                raise Wrong(f"{peer.name} has counted {figures['images']:,} of {counted:,} images")
            alerts = asyncio.run(_count(self._bootstrap, job.alerts))
            if alerts != figures["over"]:
                raise Wrong(f"{peer.name} has sent {alerts:,} alerts for {figures['over']:,} images over")
            asyncio.run(_forget(job))
            return figures

    def _job(self, peer: Peer, one: Set, span: Span, folder: str) -> Job:
        end = span.end
        if peer.most < one.events:
            share = peer.most // len(end)
            end = {number: min(span.start[number] + share, last) for number, last in end.items()}
        return Job(
            name=f"peer-{self._number}-{self._peers.index(peer)}",
            bootstrap=self._bootstrap,
            topic=topics.MEASUREMENTS,
            start=span.start,
            end=end,
            thresholds={events.client(number): events.THRESHOLD for number in range(events.CLIENTS)},
            folder=folder,
            servers=self._servers.pids if peer.databases and self._servers else [],
            how=peer.how,
            warm=one.events // 5 if one.warm and peer.command == JAVA else 0,  # its compiler's time
        )


def main(given: Sequence[str] = ()) -> None:
    arguments = _arguments().parse_args(given)
    if arguments.install:
        _install()
        return
    peers = [peer for peer in PEERS if _is_wanted(peer, arguments.only)]
    for peer in [peer for peer in peers if peer.missing()]:
        print(f"  {peer.name}: not installed: {peer.missing()}", flush=True)
        peers.remove(peer)
    with ExitStack() as running:
        servers = None
        if any(peer.databases for peer in peers):
            servers = running.enter_context(databases())
        kafka, folder = running.enter_context(a_broker())
        asyncio.run(ensure_topics(KafkaConnection(kafka.bootstrap), events.PARTITIONS))
        subscribe(kafka.bootstrap, folder)
        comparison = Comparison(kafka.bootstrap, folder, servers, peers)
        for one in _sets(arguments.events):
            comparison.run(one, arguments.rounds)


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.peers")
    parser.add_argument("--install", action="store_true", help="packages and jars into build/peers, no more")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--events", type=int, help="of the first two sets; the third, five times as many")
    parser.add_argument("--only", action="append", default=[], help="peers with this in their name")
    return parser


def _is_wanted(peer: Peer, only: list[str]) -> bool:
    return not only or any(word.lower() in peer.name.lower() for word in only)


def _sets(count: int | None) -> list[Set]:
    return [
        one if count is None else one._replace(events=one.events * count // SETS[0].events) for one in SETS
    ]


def _install() -> None:
    """A venv and a folder of jars of the peers' own."""
    subprocess.run([sys.executable, "-m", "venv", PYTHON.parents[1]], check=True)
    subprocess.run([PYTHON, "-m", "pip", "install", "-r", REQUIREMENTS], cwd=ROOT, check=True)
    lacking = [name for name in ("mvn", "javac", "java") if not shutil.which(name)]
    if lacking:
        print(f"no Kafka Streams without {', '.join(lacking)}: apt-get install maven default-jdk")
        return
    source = ROOT / "bench" / "kafka_streams"
    copying = ["dependency:copy-dependencies", f"-DoutputDirectory={STREAMS}/lib"]
    subprocess.run(["mvn", "-q", "-B", "-f", source / "pom.xml", *copying], check=True)
    compiling = ["-d", STREAMS / "classes", "-cp", f"{STREAMS}/lib/*", source / "Peer.java"]
    subprocess.run(["javac", *compiling], check=True)


def _child(command: Sequence[str]) -> dict[str, Any]:
    """As `measured`, for any program."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        raise SystemExit(f"{command[:3]} failed ({done.returncode}): {done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def _add(rounds: Rounds, who: str, figures: dict[str, Any]) -> None:
    rounds.add(who, figures["events"] / figures["seconds"])
    rounds.add(f"{who} cpu", figures["cpu"] / figures["events"] * 1e6)


async def _prepare(job: Job) -> None:
    """Its topics, and its group's offsets at the start of the set."""
    admin = AIOKafkaAdminClient(bootstrap_servers=job.bootstrap)
    await admin.start()
    try:
        wanted = [job.alerts]
        if not job.how:  # Faust is told to create no topics; the others create their own
            wanted.append(f"{job.name}-counts-changelog")
        await admin.create_topics([NewTopic(name, len(job.start), 1) for name in wanted])
    finally:
        await admin.close()
    own = {"group_id": job.name, "enable_auto_commit": False}
    async with AIOKafkaConsumer(bootstrap_servers=job.bootstrap, **own) as consumer:
        starts = {TopicPartition(job.topic, number): offset for number, offset in job.start.items()}
        consumer.assign(list(starts))
        await consumer.commit(starts)


async def _forget(job: Job) -> None:
    """Delete its topics, so that the last of a hundred runs finds a broker like the first."""
    admin = AIOKafkaAdminClient(bootstrap_servers=job.bootstrap)
    await admin.start()
    try:
        await admin.delete_topics([name for name in await admin.list_topics() if job.name in name])
    finally:
        await admin.close()


async def _records(bootstrap: str, topic: str) -> list[Any]:
    """Everything on a topic; a transaction that is about to end is waited for."""
    found: list[Any] = []
    ends = await events.ends(bootstrap, topic)
    options = {"isolation_level": "read_committed", "max_partition_fetch_bytes": 4 << 20}
    reader = AIOKafkaConsumer(bootstrap_servers=bootstrap, **options)
    async with reader as consumer, asyncio.timeout(60):
        parts = [TopicPartition(topic, number) for number in range(events.PARTITIONS)]
        consumer.assign(parts)
        await consumer.seek_to_beginning(*parts)
        while any([await consumer.position(part) < ends[part.partition] for part in parts]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                found += records
    return found


async def _count(bootstrap: str, topic: str) -> int:
    return len(await _records(bootstrap, topic))


async def _check_live(bootstrap: str, loaded: int) -> None:
    """The windows of all sets so far hold all their events, and each image over one has its alert."""
    last = {}
    for record in await _records(bootstrap, topics.WINDOWS_CHANGELOG):
        if b"|" in record.key:  # the others are marks
            last[record.key] = record.value
    held = [windows.decode(value) for value in last.values() if value is not None]
    images = sum(window.images for window in held)
    over = sum(above for window in held for _, above in window.subscriptions.values())
    alerts = await _count(bootstrap, topics.ALERTS)
    if images != loaded or alerts != over:
        raise Wrong(f"role live has counted {images:,} of {loaded:,}, {alerts:,} alerts for {over:,} over")


if __name__ == "__main__":
    main(sys.argv[1:])
