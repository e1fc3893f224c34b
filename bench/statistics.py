"""Statistics of small and of very big clients, beside PostgreSQL with the right index on the same rows.

100 million rows of a year (RED_BENCH_ROWS): 40 % are of the client `huge`, 1 % of `medium`, the rest of 2,000
small ones. Each question has a range with ends at any millisecond and any threshold. Ours is what a worker of
role record does between the request and the answer; PostgreSQL's is one statement over a Unix socket.
"""

import os
import random
import time
from collections.abc import Callable
from functools import partial
from statistics import median, quantiles
from typing import Any, Final, NamedTuple

import psycopg

from bench.databases import POSTGRES_PROGRAMS, missing, postgres_alone
from bench.runs import a_store, told
from red_common.events import rfc3339
from red_stats.domain.measurements import from_ms
from red_stats.store.asking import Asking
from red_stats.store.clickhouse import Store
from red_stats.store.daily import Seals
from red_stats.store.statistics import Amounts, Counts, Range, Series, Statistic
from red_stats.web.plans import Plans

ROWS: Final = int(os.environ.get("RED_BENCH_ROWS", "100000000"))
AT_ONCE: Final = 1_000_000
BATCH: Final = 100_000  # rows of an insert of role record that is catching up
START: Final = 1_750_000_000_000
HOUR: Final = 3_600_000
DAY: Final = 24 * HOUR
SPAN: Final = 365 * DAY
ROUNDS: Final = 40
CLIENTS: Final = ("s77", "medium", "huge")
SPANS: Final = {"1 h": HOUR, "1 d": DAY, "30 d": 30 * DAY, "1 y": SPAN}
HASH: Final = "(i * 2654435761) % 4294967296"
RED: Final = "(i * 7919) % 10007"


Ours = Callable[[Range, Statistic], tuple[int, Any]]


class Settled:
    """The recorder of a worker that has recorded everything."""

    def settled(self, partition: int) -> int:
        return ROWS


class Times(NamedTuple):
    """Milliseconds of the same questions."""

    ours: list[float]
    theirs: list[float]

    def line(self, name: str) -> str:
        return (
            f"{name:<22} {median(self.ours):7.1f} {_p99(self.ours):7.1f} {median(self.theirs):9.1f}"
            f" {_p99(self.theirs):9.1f}   {median(self.theirs) / median(self.ours):7.2f}"
        )


def main() -> None:
    if lacking := missing(*POSTGRES_PROGRAMS):
        print(f"apt-get install postgresql (no {lacking})")
        return
    with a_store() as store, postgres_alone() as where:
        timed("rows into ours", lambda: _fill(store))
        timed("every part of a month merged", lambda: store.command("OPTIMIZE TABLE red.measurements FINAL"))
        timed("seals of the big clients", lambda: _seal(store))
        with psycopg.connect(where, autocommit=True) as postgres:
            timed("rows and index into PostgreSQL", lambda: _fill_postgres(postgres))
            _compare(store, postgres)


def timed(name: str, work: Callable[[], Any]) -> None:
    began = time.perf_counter()
    work()
    print(f"{name:<40} {time.perf_counter() - began:8.1f} s", flush=True)


def _compare(store: Store, postgres: psycopg.Connection) -> None:
    ours = partial(Plans(Settled()).answer, Asking(store, "bench", 60))  # type: ignore[arg-type]
    print(f"{'':<22} {'ours':>7} {'p99':>7} {'PostgreSQL':>9} {'p99':>9}   ratio, ms", flush=True)
    worst, found = 0.0, {}
    for client in CLIENTS:
        for name, span in SPANS.items():
            times = _counts(ours, postgres, client, span)
            found[client, name] = times
            worst = max(worst, _p99(times.ours))
            print(times.line(f"{client}, {name}"), flush=True)
    year = Range("huge", 0, START, START + SPAN)
    days = Series([START, *range((START // DAY + 1) * DAY, START + SPAN, DAY)], [0.25])
    slow = {}
    for name, statistic, sql in (
        ("huge, 1 y by day", days, "date_trunc('day', measured_at, 'UTC'), count(*), max(red_bp)"),
        ("huge, 1 y distribution", Amounts(), "red_bp, count(*)"),
    ):
        slow[name] = _slow(ours, postgres, year, statistic, sql)
        print(slow[name].line(name), flush=True)
    store.reopen()
    began = time.perf_counter()
    ours(Range("huge", 0, START + 5, START + SPAN), Counts([0.5]))
    print(f"a year of huge, first after a restart: {1000 * (time.perf_counter() - began):.1f} ms")
    told("p99 of the slowest kind / goal of 80 ms", worst / 80, 1, at_least=False)
    for name, times in slow.items():
        told(f"{name} / goal of 100 ms", median(times.ours) / 100, 1, at_least=False)
    told("PostgreSQL / ours, a year of huge", _ratio(found["huge", "1 y"]), 10)
    told("PostgreSQL / ours, a year of medium", _ratio(found["medium", "1 y"]), 10)
    told("ours / PostgreSQL, a day of a small one", 1 / _ratio(found["s77", "1 d"]), 3, at_least=False)


def _counts(ours: Ours, postgres: psycopg.Connection, client: str, span: int) -> Times:
    chance, times = random.Random(span), Times([], [])
    sql = (
        "SELECT count(*), count(*) FILTER (WHERE red_bp > %s) FROM measurements"
        " WHERE client_id = %s AND measured_at >= %s::timestamptz AND measured_at < %s::timestamptz"
    )
    few = 5 if span * (client == "huge") > 30 * DAY else ROUNDS
    for number in range(ROUNDS):
        start = START + chance.randrange(SPAN - span + 1)
        bound = chance.choice([0, 100, 1234, 5000, 9000])
        asked = Range(client, 0, start, start + span - chance.randrange(1000))

        _, (images, over) = _timed(times.ours, lambda: ours(asked, Counts([bound / 10000])))  # noqa: B023
        if number < few:
            ends = rfc3339(from_ms(asked.start)), rfc3339(from_ms(asked.end))
            row = _timed(times.theirs, lambda: postgres.execute(sql, (bound, client, *ends)).fetchone())  # noqa: B023
            assert row == (images, *over), (row, images, over)
    return times


def _slow(ours: Ours, postgres: psycopg.Connection, asked: Range, statistic: Statistic, sql: str) -> Times:
    times = Times([], [])
    for _ in range(ROUNDS):
        _timed(times.ours, lambda: ours(asked, statistic))
    grouped = f"SELECT {sql} FROM measurements WHERE client_id = 'huge' GROUP BY 1"
    for _ in range(2):
        _timed(times.theirs, lambda: postgres.execute(grouped).fetchall())
    return times


def _timed(times: list[float], work: Callable[[], Any]) -> Any:
    began = time.perf_counter()
    found = work()
    times.append(1000 * (time.perf_counter() - began))
    return found


def _p99(times: list[float]) -> float:
    return quantiles(times, n=100, method="inclusive")[98] if len(times) > 1 else times[0]


def _ratio(times: Times) -> float:
    return median(times.theirs) / median(times.ours)


def _fill(store: Store) -> None:
    client = (
        "multiIf(h % 100 < 40, 'huge', h % 100 = 40, 'medium', concat('s', toString(intDiv(h, 100) % 2000)))"
    )
    for first in range(0, ROWS, AT_ONCE):
        count = min(AT_ONCE, ROWS - first)
        at = f"fromUnixTimestamp64Milli(toInt64({START} + intDiv(i * {SPAN}, {ROWS})))"
        store.command(f"""
            INSERT INTO red.measurements (client_id, measured_at, red_bp, image_id, pixels, width, height,
                format, bytes, sha256, rule, decoder, kafka_offset, batch_at)
            SELECT {client}, {at}, least(10000, intDiv(r * r, 10007)), toString(generateUUIDv4(i)), 268800,
                640, 420, 'jpeg', 26998, lower(hex(sipHash128(i))), 'red-1', 'simplejpeg', i,
                fromUnixTimestamp64Milli(toInt64({START} + intDiv({first} * {SPAN}, {ROWS})))
            FROM (SELECT toInt64(number + {first}) AS i, {HASH} AS h, {RED} AS r FROM numbers({count}))
            SETTINGS max_insert_block_size = {BATCH}, max_block_size = {BATCH}, max_insert_threads = 1,
                min_insert_block_size_rows = {BATCH}""")
        store.command(
            "INSERT INTO red.measurements (kafka_offset, batch_first, batch_rows, batch_at) VALUES"
            f" ({first + count - 1}, {first}, {count}, fromUnixTimestamp64Milli({START}))"
        )


def _seal(store: Store) -> None:
    seals = Seals(store)
    for big in seals.big_clients():
        made = 0
        while (seal := seals.sum_up(big.client_id, big.partition, ROWS)) is not None:
            seals.insert(seal)
            made += 1
        print(f"   {big.client_id}: {made} seals", flush=True)
    [[rows, size]] = store.query(
        "SELECT sum(rows), sum(bytes_on_disk) FROM system.parts WHERE active AND table = 'daily'"
    )
    print(f"   {rows:,} rows, {size / 1e6:.1f} MB", flush=True)


def _fill_postgres(postgres: psycopg.Connection) -> None:
    named = "WHEN h % 100 < 40 THEN 'huge' WHEN h % 100 = 40 THEN 'medium' ELSE 's' || h / 100 % 2000"
    postgres.execute("CREATE TABLE measurements (client_id text, measured_at timestamptz, red_bp smallint)")
    for first in range(0, ROWS, AT_ONCE):
        last = min(first + AT_ONCE, ROWS) - 1
        postgres.execute(f"""
            INSERT INTO measurements
            SELECT CASE {named} END, to_timestamp(({START} + i * {SPAN} / {ROWS})::numeric / 1000),
                least(10000, r * r / 10007)
            FROM (SELECT i, {HASH} AS h, {RED} AS r FROM generate_series({first}::bigint, {last}) i) t""")
    postgres.execute("CREATE INDEX ON measurements (client_id, measured_at) INCLUDE (red_bp)")
    postgres.execute("VACUUM ANALYZE measurements")
