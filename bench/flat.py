"""What an event costs when role live holds 1, 1,000, 100,000 and a million clients.

Each has a window and a subscription from before; the events are of at most a thousand of them.
"""

import asyncio
from pathlib import Path

from bench import events, recovery
from bench.counting import settings_of
from bench.runs import Rounds, a_broker, measured, told
from red_common.kafka.connection import KafkaConnection
from red_stats.kafka.topic_admin import ensure_topics
from red_stats.local.ports import free_port

EVENTS = 300_000
HELD = (1, 1_000, 100_000, 1_000_000)
ACTIVE = 1_000
BASE = 1_000
ROUNDS = 3


def main() -> None:
    figures = Rounds()
    for held in HELD:
        with a_broker() as (kafka, folder):
            asyncio.run(ensure_topics(KafkaConnection(kafka.bootstrap), events.PARTITIONS))
            asyncio.run(recovery.written(kafka.bootstrap, held, 0, events.THRESHOLD))
            for number in range(ROUNDS):
                cost = _cost(kafka.bootstrap, folder, held, number)
                figures.add(f"{held}", cost)
        cpu, spread = figures.median(f"{held}"), figures.spread(f"{held}")
        print(f"  {held:>9,} clients {cpu:6,.2f} us of CPU an event  ({spread})", flush=True)
    for held in HELD:
        ratio = figures.median(f"{held}") / figures.median(f"{BASE}")
        told(f"  CPU an event with {held:,} clients / with {BASE:,}", ratio)


def _cost(bootstrap: str, folder: Path, held: int, number: int) -> float:
    """Microseconds of role live's process for an event."""
    names = [recovery.client(one) for one in range(0, held, max(1, held // ACTIVE))]
    span = asyncio.run(events.load(bootstrap, EVENTS, 3, number, names=names)).to_json()
    own = {"RED_SECRET_KEY": recovery.KEY, "RED_STATS_PORT": str(free_port())}
    found = measured("bench.run_live", span, environment=settings_of(bootstrap, folder) | own)
    return float(found["cpu"] / found["events"] * 1e6)
