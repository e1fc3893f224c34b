"""The limit of role record: its rows, already columns, inserted into a table of the same definition.

`block`: in one block as role record sends it; `driver`: by the driver's own encoder.
"""

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from bench.events import PARTITIONS, Span
from bench.runs import Stopwatch
from red_stats import topics
from red_stats.domain.recorded_tables import MEASUREMENTS
from red_stats.store.clickhouse import Store
from red_stats.store.insert_buffer import ENOUGH_ROWS
from red_stats.store.queries import DATABASE

NAMES = (*MEASUREMENTS.columns, "kafka_partition", "kafka_offset", "batch_first", "batch_rows", "batch_at")


async def taken(bootstrap: str, span: Span) -> list[list[Any]]:
    """The records of a set by partition."""
    found: list[list[Any]] = [[] for _ in range(PARTITIONS)]
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap, max_partition_fetch_bytes=4 << 20) as consumer:
        consumer.assign([TopicPartition(topics.MEASUREMENTS, number) for number in range(PARTITIONS)])
        for number, start in span.start.items():
            consumer.seek(TopicPartition(topics.MEASUREMENTS, number), start)
        while any(len(found[number]) < end - span.start[number] for number, end in span.end.items()):
            for tp, records in (await consumer.getmany(timeout_ms=200)).items():
                found[tp.partition] += records
    return found


def batches(records: list[list[Any]]) -> Iterator[list[Any]]:
    """Columns as lists, as many rows at once as role record inserts."""
    for number, all_of_one in enumerate(records):
        read = MEASUREMENTS.reader(number, PARTITIONS)
        for start in range(0, len(all_of_one), ENOUGH_ROWS):
            found = read(all_of_one[start : start + ENOUGH_ROWS])
            count, first = len(found.offsets), found.offsets[0]
            at = all_of_one[start].timestamp
            ours = [number] * count, found.offsets, [first] * count, [count] * count, [at] * count
            yield [list(column) for column in (*found.columns, *ours)]


def main(bootstrap: str, span: Span, folder: str, how: str) -> None:
    ready = list(batches(asyncio.run(taken(bootstrap, span))))
    store = Store.in_folder(Path(folder), min_free_bytes=1)
    store.open()
    client, watch = store._client(), Stopwatch()
    watch.start()
    for number, columns in enumerate(ready):
        if how == "block":
            store.insert("measurements", NAMES, [columns], f"{span.start}/{number}")
        else:
            client.insert(f"{DATABASE}.measurements", columns, column_names=NAMES, column_oriented=True)
    rows = sum(len(columns[0]) for columns in ready)
    print(json.dumps(watch.stop() | {"events": rows}), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], Span.from_json(sys.argv[2]), *sys.argv[3:])
