"""Bytewax: `windows` as its documentation has it, `batches` as fast as its lowest level allows.

Both with its recovery store on: a snapshot of each changed key per epoch. One worker: a second
one is a thread, and the interpreter lets one run at a time.
"""

import pickle
import sqlite3
import sys
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bytewax.operators as op
import bytewax.operators.windowing as win
from bytewax._bytewax import cli_main
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource
from bytewax.dataflow import Dataflow, Stream
from bytewax.operators import StatefulBatchLogic
from bytewax.recovery import RecoveryConfig, init_db_dir
from confluent_kafka import OFFSET_STORED

from bench.job import BINS, POLL, Job, Watch, added, basis_points, bin_of, tell
from bench.kafka_client import FETCHING, SENDING, Measured, alert_of, decode
from red_stats.domain import windows

EPOCH = timedelta(seconds=1)  # between snapshots; its default is 10 s, role live commits every batch
LATENESS = timedelta(hours=25)


class Counts:
    """One window of one client, and the totals of all of them for the check."""

    images = over = 0  # of the class: everything counted by this process

    @staticmethod
    def empty() -> list[Any]:
        return [0, 0, 0, [0] * BINS]

    @staticmethod
    def add(counts: list[Any], red: float, is_over: bool) -> list[Any]:
        red_bp = basis_points(red)
        counts[0] += 1
        counts[1] += red_bp
        counts[2] += is_over
        counts[3][bin_of(red_bp)] += 1
        return counts


class Counting(StatefulBatchLogic[tuple[list[int], int], Any, bytes]):
    """One client and minute, with our own fold: what it takes in are lists of red and how many are over."""

    def __init__(self, held: bytes | None) -> None:
        self.window = windows.decode(held) if held else windows.EMPTY

    def on_batch(self, values: list[tuple[list[int], int]]) -> tuple[list[Any], bool]:
        for reds, over in values:
            self.window = added(self.window, reds, {"": (len(reds), over)})
        return [], self.RETAIN

    def snapshot(self) -> bytes:
        return windows.encode(self.window)


def main(job: Job) -> None:
    watch = Watch(job)
    flow = Dataflow("peer")
    source = KafkaSource(
        [job.bootstrap],
        [job.topic],
        tail=False,  # the set is the end of the topic
        starting_offset=OFFSET_STORED,
        add_config={name: str(value) for name, value in FETCHING.items()} | {"group.id": job.name},
        batch_size=POLL,
    )
    events = op.input("events", flow, source)
    alerts = (_batches if job.how == "batches" else _windows)(job, watch, events)
    sending = {name: str(value) for name, value in SENDING.items()}
    op.output("alerts", alerts, KafkaSink([job.bootstrap], job.alerts, add_config=sending))
    folder = Path(job.folder)
    init_db_dir(folder, 1)
    cli_main(flow, epoch_interval=EPOCH, recovery_config=RecoveryConfig(folder))
    figures = watch.stop()
    if job.how == "batches":
        _check_snapshots(folder, figures)
    else:
        tell(figures, Counts.images, Counts.over)


def _batches(job: Job, watch: Watch, events: Stream[Any]) -> Stream[Any]:
    thresholds = job.thresholds

    def read(messages: list[Any]) -> list[Any]:
        if messages and not watch.started:
            watch.start()
        groups: dict[str, list[int]] = defaultdict(list)
        found: list[Any] = []
        for message in messages:
            event = decode(message.value)
            groups[f"{event.client_id}|{event.measured_at[:16]}"].append(basis_points(event.red))
            if event.red > thresholds[event.client_id]:
                found.append(_alert(event))
        for key, reds in groups.items():
            above = basis_points(thresholds[key.partition("|")[0]])
            found.append((key, (reds, sum([red > above for red in reds]))))
        return found

    read_all = op.flat_map_batch("read", events, read)
    parts = op.branch("alerts or counts", read_all, lambda item: type(item) is KafkaSinkMessage)
    op.stateful_batch("count", parts.falses, Counting)
    return parts.trues


def _windows(job: Job, watch: Watch, events: Stream[Any]) -> Stream[Any]:
    thresholds = job.thresholds

    def read(message: Any) -> Measured:
        if not watch.started:
            watch.start()
        return decode(message.value)

    def fold(counts: list[Any], event: Measured) -> list[Any]:
        return Counts.add(counts, event.red, event.red > thresholds[event.client_id])

    def merge(one: list[Any], other: list[Any]) -> list[Any]:
        raise AssertionError("tumbling windows do not merge")

    measured = op.map("read", events, read)
    counted = win.fold_window(
        "count",
        op.key_on("by client", measured, lambda event: event.client_id),
        win.EventClock(lambda event: datetime.fromisoformat(event.measured_at), LATENESS),
        win.TumblingWindower(timedelta(minutes=1), datetime(2020, 1, 1, tzinfo=UTC)),
        Counts.empty,
        fold,
        merge,
        ordered=False,
    )
    op.output("closed", counted.down, _Closed())
    over = op.filter("over", measured, lambda event: event.red > thresholds[event.client_id])
    return op.map("alert", over, _alert)


def _alert(event: Measured) -> KafkaSinkMessage[bytes, bytes]:
    return KafkaSinkMessage(event.client_id.encode(), alert_of(event))


class _Closing(op.StatelessSinkPartition[Any]):
    def write_batch(self, items: list[Any]) -> None:
        for _, (_, counts) in items:
            Counts.images += counts[0]
            Counts.over += counts[2]


class _Closed(op.DynamicSink[Any]):
    """Windows end with the topic; they are counted for the check."""

    def build(self, step_id: str, worker_index: int, worker_count: int) -> _Closing:
        return _Closing()


def _check_snapshots(folder: Path, figures: dict[str, float]) -> None:
    """Sum up the last snapshot of each key in the recovery store."""
    last: dict[str, Any] = {}
    [store] = folder.glob("*.sqlite3")
    with sqlite3.connect(store) as database:
        rows = "SELECT state_key, ser_change FROM snaps WHERE step_id LIKE '%count%' ORDER BY snap_epoch"
        for key, change in database.execute(rows):
            last[key] = windows.decode(pickle.loads(change))
    over = sum(window.subscriptions[""][1] for window in last.values())
    tell(figures, sum(window.images for window in last.values()), over)


if __name__ == "__main__":
    main(Job.from_json(sys.argv[1]))
