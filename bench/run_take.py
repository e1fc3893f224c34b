"""Stock Faust as fast as its own `take_events` makes it: thousands at once, merged by hand.

A tumbling table knows the time of one event only, so the windows are keys of a plain table here:
one write for each changed one. A table learns the partition from the current event, which there is
none of after `take`, so one of the key's own is made it. What Faust does for every event before
`take` gives it out remains.
"""

import asyncio
import os
import sys
import weakref
from collections import defaultdict
from typing import Any

import faust
import mode
from faust.streams import _current_event

from bench.job import BINS, Job, Watch, basis_points, bin_of, tell


class Measurement(faust.Record):
    image_id: str
    client_id: str
    measured_at: str
    red: float


def main(job: Job) -> None:
    app = faust.App(
        job.name,
        broker=f"kafka://{job.bootstrap}",
        topic_allow_declare=False,
        topic_disable_leader=True,
        table_standby_replicas=0,
        consumer_auto_offset_reset="earliest",
        broker_max_poll_records=20_000,
        stream_buffer_maxsize=20_000,
        web_enabled=False,
        datadir=job.folder,
    )
    source = app.topic(job.topic, key_type=str, value_type=Measurement)
    alerts = app.topic(job.alerts, key_type=str, value_serializer="json")
    counts = app.Table("counts", default=lambda: [0, 0, 0, [0] * BINS], partitions=len(job.start))
    watch, seen = Watch(job), 0

    @app.agent(source)
    async def measure(stream: Any) -> None:
        nonlocal seen
        async for batch in stream.take_events(5_000, within=0.2):
            if not watch.started:
                watch.start()
            groups: dict[str, list[Any]] = defaultdict(list)
            for event in batch:
                groups[f"{event.value.client_id}|{event.value.measured_at[:16]}"].append(event)
            sent = []
            for key, events in groups.items():
                _current_event.set(weakref.ref(events[0]))
                images, total, over, bins = counts[key]
                bins = list(bins)
                for event in (taken.value for taken in events):
                    red_bp = basis_points(event.red)
                    total += red_bp
                    bins[bin_of(red_bp)] += 1
                    if event.red > job.thresholds[event.client_id]:
                        over += 1
                        alert = {"image_id": event.image_id, "client_id": event.client_id, "red": event.red}
                        sent.append(await alerts.send(key=event.client_id, value=alert))
                counts[key] = [images + len(events), total, over, bins]
            await asyncio.gather(*sent)
            seen += len(batch)
            if seen >= job.events:
                await app.producer.flush()
                figures = watch.stop() | {"events": seen}  # the last batch may go beyond the job
                held = list(counts.values())
                tell(figures, sum(window[0] for window in held), sum(window[2] for window in held))
                os._exit(0)

    mode.Worker(app, loglevel="WARNING", redirect_stdouts=False).execute_from_commandline()


if __name__ == "__main__":
    main(Job.from_json(sys.argv[1]))
