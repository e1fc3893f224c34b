"""Role record from Kafka to the read-back of its mark, beside inserts of the same rows and nothing else."""

import asyncio
from pathlib import Path
from typing import Any

from bench import events
from bench.counting import settings_of
from bench.runs import Rounds, a_broker, measured, repeated, told
from red_common.kafka.connection import KafkaConnection
from red_stats.kafka.topic_admin import ensure_topics

EVENTS = 300_000
ROUNDS = 5
BARE = {"block": "as our blocks", "driver": "by the driver"}


def main() -> None:
    rounds = Rounds()
    with a_broker() as (kafka, folder):
        asyncio.run(ensure_topics(KafkaConnection(kafka.bootstrap), events.PARTITIONS))
        repeated(ROUNDS, lambda number: _round(rounds, kafka.bootstrap, folder, number))
    print(f"{EVENTS:,} events of {events.CLIENTS} clients, 3 windows, medians of {ROUNDS} rounds")
    for who in ("record", *BARE):
        rate, cpu = rounds.median(who), rounds.median(f"{who} cpu")
        print(f"  {who:<7} {rate:>9,.0f} rows/s  ({rounds.spread(who)})  {cpu:5.2f} us of CPU a row")
    for how, meaning in BARE.items():
        told(f"  record / bare insert, {meaning}", rounds.ratio("record", how), 0.5)
        told(f"    CPU of record / of bare insert, {meaning}", rounds.ratio("record cpu", f"{how} cpu"))


def _round(rounds: Rounds, bootstrap: str, folder: Path, number: int) -> None:
    span = asyncio.run(events.load(bootstrap, EVENTS, 3, number)).to_json()
    for how in BARE:
        store = folder / f"bare-{how}"
        _add(rounds, how, measured("bench.run_insert", bootstrap, span, str(store), how))
    environment = settings_of(bootstrap, folder)
    figures = measured("bench.run_roles", span, "record", environment=environment)
    if figures["stored"] != (wanted := EVENTS * (number + 1)):
        raise SystemExit(f"role record has stored {figures['stored']:,} of {wanted:,} rows")
    _add(rounds, "record", figures)


def _add(rounds: Rounds, who: str, figures: dict[str, Any]) -> None:
    rounds.add(who, figures["events"] / figures["seconds"])
    rounds.add(f"{who} cpu", figures["cpu"] / figures["events"] * 1e6)
