"""A preview of a year of a million images of a client, from the store's disk to the JSON of the answer."""

import time
from statistics import median
from typing import Any

import msgspec
import orjson

from bench.runs import a_store, told
from red_stats.domain.thresholds import exactly
from red_stats.store.clickhouse import Store
from red_stats.store.statistics import Range, image_ids, images
from red_stats.web.preview import Body, answered, asked_of

IMAGES = 1_000_000
PARTS = 10
FIRST = 1_735_689_600_000  # the beginning of 2025
STEP_MS = 31_536  # a million make a year
ROUNDS = 9
GOAL_MS = 1000.0
ASKED: dict[str, dict[str, Any]] = {
    "each, a hundredth of the images": {"threshold": 0.99},
    "each, all images": {"threshold": 0},
    "crossing": {"threshold": 0.5, "trigger": "crossing", "rearm_below": 0.4},
    "min_interval of 10 s, all images": {"threshold": 0, "min_interval": 10},
    "min_interval of an hour, all images": {"threshold": 0, "min_interval": 3600},
    "target_per_day, each": {"target_per_day": 10},
    "target_per_day, crossing": {"target_per_day": 10, "trigger": "crossing", "min_interval": 60},
}


def main() -> None:
    with a_store() as store:
        for part in range(PARTS):
            store.command(_insert(part))
        took = {name: _ms(store, fields) for name, fields in ASKED.items()}
    for name, ms in took.items():
        print(f"{name:<40} {ms:8.0f} ms")
    told("slowest preview / goal of 1 s", max(took.values()) / GOAL_MS, 1, at_least=False)


def _ms(store: Store, fields: dict[str, Any]) -> float:
    year = {"from": "2025-01-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"}
    raw = orjson.dumps(year | fields)
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        asked = asked_of(msgspec.json.Decoder(Body, float_hook=exactly).decode(raw))
        body, offsets = answered(asked, store.packed(*images(Range("big", 3, *asked.span), IMAGES)))
        ids = store.query(*image_ids("big", offsets))
        orjson.dumps(body | {"samples": ids})
        times.append(1000 * (time.perf_counter() - began))
        assert body["images"] == IMAGES
        assert len(ids) == min(10, body["alerts"])
    return median(times)


def _insert(part: int) -> str:
    """A part of the images of one client, each STEP_MS after the one before, with any amount of red."""
    each = IMAGES // PARTS
    return f"""
        INSERT INTO red.measurements (client_id, measured_at, red_bp, image_id, kafka_partition, kafka_offset,
            batch_at)
        SELECT
            'big', fromUnixTimestamp64Milli(toInt64({FIRST} + n * {STEP_MS})) AS at, cityHash64(n) % 10001,
            toString(generateUUIDv4(n)), 3, n, at
        FROM (SELECT number + {part * each} AS n FROM numbers({each}))"""
