"""The whole job: events counted, alerted on and kept, beside PostgreSQL with Redis doing the same.

Our side is one worker with the roles live and record, chDB in it. Theirs are a consumer, PostgreSQL
and Redis. Kafka is on neither side, and no less busy on ours. A peer keeps each event as a row.
"""

import asyncio
from pathlib import Path
from typing import Any

from bench import events
from bench.counting import settings_of, subscribe
from bench.databases import databases
from bench.peers import Comparison, Peer, Set, _python
from bench.runs import Rounds, a_broker, measured, repeated, told
from red_common.kafka.connection import KafkaConnection
from red_stats.kafka.topic_admin import ensure_topics
from red_stats.local.ports import free_port

ROUNDS = 5
SET = Set("3 windows", 300_000, 3)


def _peer(name: str, how: str, most: int = 300_000) -> Peer:
    return Peer(name, _python("run_postgres"), how, most, databases=True)


PEERS = (
    (_peer("as drawn, an event at a time", "drawn", 6_000), 100.0),
    (_peer("COPY per poll, six columns", "copied"), None),
    (_peer("batched as ours, all columns", "stored"), 1.3),
    (_peer("batched as ours, six columns", "narrow"), None),
)


def main() -> None:
    peers = [peer for peer, _ in PEERS]
    if lacking := peers[0].missing():
        raise SystemExit(lacking)
    rounds = Rounds()
    with databases() as servers, a_broker() as (kafka, folder):
        asyncio.run(ensure_topics(KafkaConnection(kafka.bootstrap), events.PARTITIONS))
        subscribe(kafka.bootstrap, folder)
        comparison = Comparison(kafka.bootstrap, folder, servers, peers)
        repeated(ROUNDS, lambda number: _round(rounds, comparison, kafka.bootstrap, folder, number))
    print(f"{SET.events:,} events of {events.CLIENTS} clients, {SET.name}, medians of {ROUNDS} rounds")
    for name in ("live and record", *(peer.name for peer in peers)):
        rate, cpu = rounds.median(name), rounds.median(f"{name} cpu")
        print(f"  {name:<30} {rate:>9,.0f} events/s  {cpu:7.1f} us of CPU an event")
    for peer, goal in PEERS:
        told(
            f"  CPU of PostgreSQL {peer.name} / ours",
            rounds.ratio(f"{peer.name} cpu", "live and record cpu"),
            goal,
        )


def _round(rounds: Rounds, comparison: Comparison, bootstrap: str, folder: Path, number: int) -> None:
    span = asyncio.run(events.load(bootstrap, SET.events, SET.windows, number))
    environment = settings_of(bootstrap, folder) | {"RED_STATS_PORT": str(free_port())}
    ours = measured("bench.run_roles", span.to_json(), "live", "record", environment=environment)
    if ours["stored"] != SET.events * (number + 1):
        raise SystemExit(f"the store holds {ours['stored']:,} rows after {number + 1} sets")
    _add(rounds, "live and record", ours)
    for peer, _ in PEERS:
        _add(rounds, peer.name, comparison.measure(peer, SET, span, number))


def _add(rounds: Rounds, who: str, figures: dict[str, Any]) -> None:
    rounds.add(who, figures["events"] / figures["seconds"])
    rounds.add(f"{who} cpu", figures["cpu"] / figures["events"] * 1e6)
