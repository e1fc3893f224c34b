"""A consumer that keeps its state in PostgreSQL (and Redis): the design that role live replaces.

- `drawn`: a row in PostgreSQL and counters in Redis for each event, one commit each; the consumer
  commits its offsets every second.
- `copied`: rows by COPY and merged counters in one pipeline for each poll; offsets after that. Should
  it die between the three, Redis has counted what PostgreSQL has not, or counts it twice.
- `merged`: batched as ours is, with our own fold. Windows are kept in memory, each changed one is
  upserted once per batch, with the alerts and the offsets in the same transaction. The alerts go to
  Kafka after it and are flushed before the next one, so at most one batch of them can be missing,
  and the table has it.
"""

import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import redis

from bench.job import Job, Watch, added, basis_points, bin_of, tell
from bench.kafka_client import (
    Measured,
    Whole,
    a_consumer,
    a_producer,
    alert_of,
    decode,
    decode_whole,
    polled,
)
from red_stats.domain.windows import EMPTY, Window

TABLES = """
DROP TABLE IF EXISTS measurements, events, windows, alerts, offsets;
CREATE TABLE measurements (
  kafka_partition int, kafka_offset bigint, image_id uuid, client_id text, measured_at timestamptz,
  red_bp int, PRIMARY KEY (kafka_partition, kafka_offset));
CREATE TABLE events (
  kafka_partition int, kafka_offset bigint, image_id text, client_id text, measured_at timestamptz,
  red_bp int, red_pixels bigint, pixels bigint, red_excess_bp int, red_channel_bp int, width int,
  height int, format text, bytes bigint, sha256 text, rule text, decoder text,
  PRIMARY KEY (kafka_partition, kafka_offset));
CREATE TABLE windows (
  client_id text, minute text, images int, red_sum bigint, images_over int, bins bytea,
  PRIMARY KEY (client_id, minute));
CREATE TABLE alerts (
  kafka_partition int, kafka_offset bigint, client_id text, alert text,
  PRIMARY KEY (kafka_partition, kafka_offset));
CREATE TABLE offsets (kafka_partition int PRIMARY KEY, next_offset bigint);
"""
INSERT = "INSERT INTO measurements VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING"
STAGE = "CREATE TEMP TABLE changed (LIKE windows) ON COMMIT DELETE ROWS"
UPSERT = """
INSERT INTO windows SELECT * FROM changed ON CONFLICT (client_id, minute) DO UPDATE
SET images = excluded.images, red_sum = excluded.red_sum, images_over = excluded.images_over,
    bins = excluded.bins
"""
ADVANCE = """
INSERT INTO offsets VALUES (%s, %s) ON CONFLICT (kafka_partition) DO UPDATE
SET next_offset = excluded.next_offset
"""


def main(job: Job, database: str, redis_socket: str) -> None:
    with psycopg.connect(database) as postgres, redis.Redis(unix_socket_path=redis_socket) as counters:
        postgres.execute(TABLES)
        postgres.execute(STAGE)
        postgres.commit()
        counters.flushall()
        run: Callable[..., tuple[dict[str, float], int, int]] = globals()[f"_{job.how}"]
        figures, images, over = run(job, postgres, counters)
        tell(figures, images, over)


def _drawn(job: Job, postgres: psycopg.Connection, counters: redis.Redis) -> Any:
    watch, producer, thresholds = Watch(job), a_producer(job), job.thresholds
    consumer = a_consumer(job, **{"enable.auto.commit": True, "auto.commit.interval.ms": 1000})
    cursor = postgres.cursor()
    for messages in polled(job, consumer):
        if not watch.started:
            watch.start()
        for message in messages:
            event = decode(message.value())
            red_bp, is_over = basis_points(event.red), event.red > thresholds[event.client_id]
            place = message.partition(), message.offset()
            row = (*place, event.image_id, event.client_id, event.measured_at, red_bp)
            cursor.execute(INSERT, row, prepare=True)
            postgres.commit()
            pipeline = counters.pipeline(transaction=False)
            window = f"{event.client_id}|{event.minute}"
            pipeline.hincrby(window, "images", 1)
            pipeline.hincrby(window, "red_sum", red_bp)
            pipeline.hincrby(window, f"bin{bin_of(red_bp)}", 1)
            if is_over:
                pipeline.hincrby(window, "over", 1)
                producer.produce(job.alerts, alert_of(event), event.client_id)
            pipeline.execute()
            producer.poll(0)
    producer.flush()
    consumer.close()  # commits
    return watch.stop(), *_counted(postgres, counters)


def _copied(job: Job, postgres: psycopg.Connection, counters: redis.Redis) -> Any:
    watch, producer, thresholds = Watch(job), a_producer(job), job.thresholds
    consumer = a_consumer(job)
    cursor = postgres.cursor()
    for messages in polled(job, consumer):
        if not watch.started:
            watch.start()
        changed: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        rows = []
        for message in messages:
            event = decode(message.value())
            red_bp = basis_points(event.red)
            rows.append(
                f"{message.partition()}\t{message.offset()}\t{event.image_id}\t{event.client_id}"
                f"\t{event.measured_at}\t{red_bp}\n"
            )
            window = changed[f"{event.client_id}|{event.minute}"]
            window["images"] += 1
            window["red_sum"] += red_bp
            window[f"bin{bin_of(red_bp)}"] += 1
            if event.red > thresholds[event.client_id]:
                window["over"] += 1
                producer.produce(job.alerts, alert_of(event), event.client_id)
        with cursor.copy("COPY measurements FROM STDIN") as copy:
            copy.write("".join(rows))
        postgres.commit()
        pipeline = counters.pipeline(transaction=False)
        for name, fields in changed.items():
            for field, more in fields.items():
                pipeline.hincrby(name, field, more)
        pipeline.execute()
        producer.flush()
        consumer.commit(asynchronous=False)
    return watch.stop(), *_counted(postgres, counters)


def _counted(postgres: psycopg.Connection, counters: redis.Redis) -> tuple[int, int]:
    """Images and images over as Redis has them, when PostgreSQL has as many rows."""
    names = list(counters.scan_iter(count=10_000))
    found = [counters.hmget(name, "images", "over") for name in names]
    images, over = (sum(int(pair[side] or 0) for pair in found) for side in (0, 1))
    [(rows,)] = postgres.execute("SELECT count(*) FROM measurements").fetchall()
    return (images if rows == images else -1), over


def _merged(job: Job, postgres: psycopg.Connection, counters: redis.Redis, table: str = "") -> Any:
    decode, row = KEPT[table]
    watch, producer, thresholds = Watch(job), a_producer(job), job.thresholds
    consumer = a_consumer(job)
    cursor = postgres.cursor()
    windows: dict[tuple[str, str], Window] = {}
    for messages in polled(job, consumer):
        if not watch.started:
            watch.start()
        groups: dict[tuple[str, str], list[int]] = defaultdict(list)
        raised: list[tuple[str, str, bytes]] = []
        kept: list[str] = []
        reached: dict[int, int] = {}
        for message in messages:
            event = decode(message.value())
            groups[event.client_id, event.measured_at[:16]].append(basis_points(event.red))
            if row is not None:
                kept.append(row(message.partition(), message.offset(), event))
            if event.red > thresholds[event.client_id]:
                alert = alert_of(event)
                place = f"{message.partition()}\t{message.offset()}\t{event.client_id}\t{alert.decode()}\n"
                raised.append((place, event.client_id, alert))
        for message in messages:
            reached[message.partition()] = message.offset() + 1
        with cursor.copy("COPY changed FROM STDIN") as copy:
            copy.write("".join(_rows(windows, groups, thresholds)))
        cursor.execute(UPSERT)
        with cursor.copy("COPY alerts FROM STDIN") as copy:
            copy.write("".join([place for place, _, _ in raised]))
        if table:
            with cursor.copy(f"COPY {table} FROM STDIN") as copy:
                copy.write("".join(kept))
        cursor.executemany(ADVANCE, list(reached.items()))
        producer.flush()  # the alerts of the batch before, before this one hides that they may be missing
        postgres.commit()
        for _, client_id, alert in raised:
            producer.produce(job.alerts, alert, client_id)
    producer.flush()
    figures = watch.stop()
    if table:
        [(rows,)] = postgres.execute(f"SELECT count(*) FROM {table}").fetchall()
        if rows != job.events:
            raise SystemExit(f"{rows:,} of {job.events:,} rows are kept")
    [found] = postgres.execute("SELECT sum(images), sum(images_over) FROM windows").fetchall()
    return figures, int(found[0]), int(found[1])


def _stored(job: Job, postgres: psycopg.Connection, counters: redis.Redis) -> Any:
    return _merged(job, postgres, counters, "events")


def _narrow(job: Job, postgres: psycopg.Connection, counters: redis.Redis) -> Any:
    return _merged(job, postgres, counters, "measurements")


def _narrow_row(partition: int, offset: int, e: Measured) -> str:
    return f"{partition}\t{offset}\t{e.image_id}\t{e.client_id}\t{e.measured_at}\t{basis_points(e.red)}\n"


def _whole_row(partition: int, offset: int, e: Whole) -> str:
    return (
        f"{partition}\t{offset}\t{e.image_id}\t{e.client_id}\t{e.measured_at}\t{basis_points(e.red)}"
        f"\t{e.red_pixels}\t{e.pixels}\t{basis_points(e.red_excess)}\t{basis_points(e.red_channel)}"
        f"\t{e.width}\t{e.height}\t{e.format}\t{e.bytes}\t{e.sha256}\t{e.rule}\t{e.decoder}\n"
    )


#: By the table in which `merged` keeps every event: how it is decoded, and its line for COPY.
KEPT: dict[str, tuple[Callable[[bytes], Any], Callable[[int, int, Any], str] | None]] = {
    "": (decode, None),
    "measurements": (decode, _narrow_row),
    "events": (decode_whole, _whole_row),
}


def _rows(
    windows: dict[tuple[str, str], Window],
    groups: dict[tuple[str, str], list[int]],
    thresholds: dict[str, float],
) -> Iterator[str]:
    """The changed windows, as COPY takes them."""
    for key, reds in groups.items():
        client_id, minute = key
        above = basis_points(thresholds[client_id])
        tally = len(reds), sum([red > above for red in reds])
        window = windows[key] = added(windows.get(key, EMPTY), reds, {"": tally})
        _, over = window.subscriptions[""]
        bins = window.bins.hex()
        yield f"{client_id}\t{minute}\t{window.images}\t{window.red_sum}\t{over}\t\\\\x{bins}\n"


if __name__ == "__main__":
    main(Job.from_json(sys.argv[1]), *sys.argv[2:])
