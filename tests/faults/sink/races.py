"""Rivals: many writers of one partition in one process, none of them coordinated, some unlucky."""

import random
import threading
import time
from dataclasses import dataclass, field

from red_stats.domain.recorded_tables import MEASUREMENTS
from red_stats.store import sink as sinks
from red_stats.store.clickhouse import StoreError
from red_stats.store.sink import ConcurrentWriter, Sink
from tests.faults.sink.log import Log
from tests.faults.sink.rules import ROWS, judged

UNLUCKY = 0.1  # inserts whose outcome the writer never learns
HOUR_MS = 3_600_000
ZOMBIE_BATCHES = 12


class GaveUp(Exception):
    """A writer went away between its insert and its read-back."""


class Shaky(Sink):
    """Sometimes the answer to an insert is lost, sometimes the writer is."""

    def _stands(self, rows, refill):
        luck = random.random()
        if luck < UNLUCKY / 2:
            raise StoreError("the answer was lost")
        if luck < UNLUCKY:
            raise GaveUp
        return super()._stands(rows, refill)


@dataclass
class Tally:
    batches: int = 0
    won: int = 0
    errors: list = field(default_factory=list)


def compete(child, log, seconds, tally, *, ahead=0):
    """One rival: cuts anywhere, and half of the time goes on with what it believed before."""
    sink = Shaky(child.store, "measurements", MEASUREMENTS.empty, pause=lambda seconds: None)
    first, deadline = sink.next_offset(log.partition) or 0, time.monotonic() + seconds
    while time.monotonic() < deadline and first < log.end:
        rows = cut(child, log, first, first + random.randint(1, 50))
        tally.batches += 1
        try:
            sink.write(rows._replace(at=rows.at + ahead))
            tally.won += 1
            first = rows.last + 1
        except ConcurrentWriter as rival:
            first = rival.next
        except GaveUp:
            first = (sink.next_offset(log.partition) or 0) if random.random() < 0.5 else first
        except Exception as error:
            tally.errors.append(repr(error)[:200])
            return


def cut(child, log, first, end):
    """As the Recorder cuts; a batch may end in a control record's place."""
    records = log.records(first, end) or log.records(first, end + 1)
    return child.player.recorder.to_rows(log.partition, records, first, records[-1].offset)


def rivals(child, count=4, seconds=8.0, skew=0):
    """All at once; half of them with clocks `skew` ms ahead."""
    log, tally = Log(10**7, child.log.partition, child.log.step), Tally()
    threads = [
        threading.Thread(target=compete, args=(child, log, seconds, tally), kwargs={"ahead": skew * (n % 2)})
        for n in range(count)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return end(child, log) | {"batches": tally.batches, "won": tally.won, "errors": tally.errors[:2]}


def zombie(child, window=5):
    """A writer holds a batch while others fill the deduplication window; then it writes."""
    sinks.STALE_SECONDS = 0  # it was away for longer than that
    table = "ALTER TABLE red.measurements MODIFY SETTING non_replicated_deduplication_window"
    child.store.command(f"{table} = {window}")
    child.store.reopen()
    old, new = (
        Sink(child.store, "measurements", MEASUREMENTS.empty, pause=lambda seconds: None) for _ in range(2)
    )
    log = Log(10**7, child.log.partition)
    assert old.next_offset(log.partition) is None
    held = cut(child, log, 0, 10)
    for first in range(0, 10 * ZOMBIE_BATCHES, 10):
        new.write(cut(child, log, first, first + 10))
    try:
        old.write(held)
        said = "recorded"
    except ConcurrentWriter as rival:
        said = f"a rival is at {rival.next}"
    return end(child, log) | {"said": said}


def end(child, log):
    """What the table is now, up to its mark, alive and opened again."""
    worst = None
    for _ in range(2):
        table = child.store.query(ROWS, {"p": log.partition})
        last = max((row[0] for row in table if row[1] == ""), default=-1)
        found = judged(table, Log(last + 1, log.partition, log.step).rows())
        worst = found if worst is None or len(found.findings) > len(worst.findings) else worst
        child.store.reopen()
    return {"lost": worst.lost, "doubled": worst.doubled, "findings": worst.findings, "rows": last + 1}
