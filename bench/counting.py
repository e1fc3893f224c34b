"""Counting with everything on (windows, tables, transactions, alerts) beside the limit and stock Faust."""

import asyncio
from pathlib import Path
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from bench import events
from bench.runs import Rounds, a_broker, measured, repeated, told
from red_common.kafka.connection import KafkaConnection
from red_stats import topics
from red_stats.kafka.topic_admin import ensure_topics

EVENTS = 300_000
STOCK_EVENTS = 6_000
ROUNDS = 5
SETS = {"3 windows": 3, "60 windows": 60}


def main() -> None:
    with a_broker() as (kafka, folder):
        asyncio.run(ensure_topics(KafkaConnection(kafka.bootstrap), events.PARTITIONS))
        subscribe(kafka.bootstrap, folder)
        for number, (name, windows) in enumerate(SETS.items()):
            _compare(kafka.bootstrap, folder, name, windows, seed=number)


def settings_of(bootstrap: str, folder: Path) -> dict[str, str]:
    """What a worker needs to know, as environment variables."""
    return {"RED_KAFKA": bootstrap, "RED_DATA": str(folder), "RED_SECRET_KEY": "ab" * 32}


def subscribe(bootstrap: str, folder: Path) -> None:
    """One subscription for each client, decided by a worker of ours that then ends."""
    from tests.services import running, worker

    with running(worker(bootstrap, folder, role="live")):
        asyncio.run(events.subscribe_all(bootstrap))


def _compare(bootstrap: str, folder: Path, name: str, windows: int, seed: int) -> None:
    rounds, environment = Rounds(), settings_of(bootstrap, folder)

    def one(number: int) -> None:
        span = asyncio.run(events.load(bootstrap, EVENTS, windows, seed * 100 + number))
        _add(rounds, "raw", measured("bench.run_raw", bootstrap, topics.MEASUREMENTS, span.to_json()))
        _add(rounds, "live", measured("bench.run_live", span.to_json(), environment=environment))
        stock = f"stock-{windows}-{number}"
        asyncio.run(stock_topics(bootstrap, stock, windows))
        _add(rounds, "stock", measured("bench.run_stock", bootstrap, stock, str(STOCK_EVENTS),
                                       environment=environment))  # fmt: skip

    repeated(ROUNDS, one)
    print(f"{name}: {EVENTS:,} events of {events.CLIENTS} clients, medians of {ROUNDS} rounds")
    for who in ("raw", "live", "stock"):
        rate, cpu = rounds.median(who), rounds.median(f"{who} cpu")
        print(f"  {who:<6} {rate:>9,.0f} events/s  ({rounds.spread(who)})  {cpu:6.1f} us of CPU an event")
    told("  live / bare aiokafka consumer", rounds.ratio("live", "raw"), 0.6 if windows == 3 else 0.5)
    told("  live / stock Faust agent", rounds.ratio("live", "stock"), 70)


def _add(rounds: Rounds, who: str, figures: dict[str, Any]) -> None:
    rounds.add(who, figures["events"] / figures["seconds"])
    rounds.add(f"{who} cpu", figures["cpu"] / figures["events"] * 1e6)


async def stock_topics(bootstrap: str, name: str, windows: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        wanted = [name, f"{name}-alerts", f"stock-{name}-counts-changelog"]
        await admin.create_topics([NewTopic(topic, events.PARTITIONS, 1) for topic in wanted])
    finally:
        await admin.close()
    await events.load(bootstrap, STOCK_EVENTS, windows, 1, name)
