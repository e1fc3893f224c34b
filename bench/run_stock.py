"""A stock Faust agent that does the same job event by event: windowed counts, thresholds, alerts.

As the Faust guide would have it: a model, a tumbling table on its time field, `send` for each
alert; at least once.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import faust
import mode

from bench.events import CLIENTS, THRESHOLD, client
from bench.runs import Stopwatch


class Measurement(faust.Record):
    image_id: str
    client_id: str
    measured_at: str
    red: float


def main(bootstrap: str, topic: str, count: int) -> None:
    app = faust.App(
        f"stock-{topic}",
        broker=f"kafka://{bootstrap}",
        topic_allow_declare=False,
        topic_disable_leader=True,
        table_standby_replicas=0,
        consumer_auto_offset_reset="earliest",
        web_enabled=False,
        datadir=Path(os.environ["RED_DATA"]),
    )
    source = app.topic(topic, key_type=str, value_type=Measurement)
    alerts = app.topic(f"{topic}-alerts", key_type=str, value_serializer="json")
    table = app.Table("counts", default=lambda: [0, 0.0, [0] * 100, 0], partitions=4)
    counts = table.tumbling(60, expires=90_000).relative_to_field(Measurement.measured_at)
    thresholds = {client(number): THRESHOLD for number in range(CLIENTS)}
    watch, seen = Stopwatch(), 0

    @app.agent(source)
    async def measure(stream: Any) -> None:
        nonlocal seen
        async for event in stream:
            if not seen:
                watch.start()
            name, red = event.client_id, event.red
            is_over = red > thresholds[name]
            images, total, histogram, over = counts[name].value()
            bins = list(histogram)
            bins[min(int(red * 100), 99)] += 1
            counts[name] = [images + 1, total + red, bins, over + is_over]
            if is_over:
                await alerts.send(key=name, value={"image_id": event.image_id, "red": red})
            seen += 1
            if seen == count:
                print(json.dumps(watch.stop() | {"events": seen}), flush=True)
                os._exit(0)

    mode.Worker(app, loglevel="WARNING", redirect_stdouts=False).execute_from_commandline()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
