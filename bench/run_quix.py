"""Quix Streams as its documentation has it: a tumbling window with an aggregator of one's own.

Values are JSON (orjson) in RocksDB, and a changelog topic per store; `how` is the guarantee. A
checkpoint writes each changed window once, so the longer its interval the less it costs: a second
is between Quix's own 5 s and what an alert may wait under exactly-once.
"""

import sys
from datetime import datetime
from typing import Any

import orjson
from quixstreams import Application
from quixstreams.dataframe.windows.aggregations import Aggregator
from quixstreams.state.rocksdb import RocksDBOptions

from bench.job import BINS, Job, Watch, basis_points, bin_of, tell
from bench.kafka_client import FETCHING, latest

GRACE_MS = 25 * 3_600_000  # a late image is counted in its own window, as long as role live does


class Counts(Aggregator):
    """`[images, sum, over, bins]`."""

    state_suffix = "counts"

    def __init__(self, thresholds: dict[str, float]) -> None:
        self._thresholds = thresholds

    def initialize(self) -> list[Any]:
        return [0, 0, 0, [0] * BINS]

    def agg(self, old: list[Any], new: dict[str, Any], timestamp: int) -> list[Any]:
        red = new["red"]
        red_bp = basis_points(red)
        old[0] += 1
        old[1] += red_bp
        old[2] += red > self._thresholds[new["client_id"]]
        old[3][bin_of(red_bp)] += 1
        return old

    def result(self, value: list[Any]) -> list[Any]:
        return value


def main(job: Job) -> None:
    watch, seen, figures = Watch(job), 0, {}
    thresholds = job.thresholds

    def processed(topic: str, partition: int, offset: int) -> None:
        nonlocal seen, figures
        seen += 1
        if seen == job.events:
            app._processing_context.commit_checkpoint(force=True)
            figures = watch.stop()
            app.stop()

    def time_of(value: Any, headers: Any, timestamp: float, kind: Any) -> int:
        if not watch.started:
            watch.start()
        return _milliseconds(value["measured_at"])

    app = Application(
        job.bootstrap,
        consumer_group=job.name,
        commit_interval=1.0,
        processing_guarantee=job.how,
        state_dir=job.folder,
        consumer_extra_config=FETCHING,
        producer_extra_config={"linger.ms": 5, "batch.size": 256 << 10},
        rocksdb_options=RocksDBOptions(block_cache_size=64 << 20),
        max_partition_buffer_size=100_000,
        on_message_processed=processed,
        broker_availability_timeout=0,
        loglevel="WARNING",
    )
    source = app.topic(job.topic, timestamp_extractor=time_of)
    alerts = app.topic(job.alerts)
    events = app.dataframe(source)
    over = events[events.apply(lambda event: event["red"] > thresholds[event["client_id"]])]
    over.apply(_alert).to_topic(alerts)
    # `current` builds a result for every event that nobody takes, and is still cheaper than `final`,
    # which looks for windows to close at every event.
    events.tumbling_window(60_000, GRACE_MS, name="counts").agg(counts=Counts(thresholds)).current()
    app.run()
    [changelog] = [topic.name for topic in app._topic_manager.changelog_topics_list]
    _check(job, figures, changelog)


def _alert(event: dict[str, Any]) -> dict[str, Any]:
    return {name: event[name] for name in ("image_id", "client_id", "red")}


def _milliseconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def _check(job: Job, figures: dict[str, float], changelog: str) -> None:
    images = over = 0
    for value in latest(job.bootstrap, changelog, len(job.start)).values():
        held = orjson.loads(value or b"0")
        if isinstance(held, dict):
            [(count, _, above, _)] = held.values()
            images += count
            over += above
    tell(figures, images, over)


if __name__ == "__main__":
    main(Job.from_json(sys.argv[1]))
