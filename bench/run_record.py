"""Role record as it is shipped, from its first batch until a set stands; RED_DATA and RED_KAFKA say where."""

import asyncio
import gc
import json
import os
import sys
from typing import Any

import mode
import uvloop

from bench.events import Span
from bench.runs import Stopwatch
from red_stats import topics
from red_stats.agents.recording import Recorder
from red_stats.app import create_apps
from red_stats.settings import load
from red_stats.worker import GC_THRESHOLDS

COUNT = "SELECT count() FROM red.measurements WHERE client_id != ''"


def main(span: Span) -> None:
    uvloop.install()
    gc.set_threshold(*GC_THRESHOLDS)
    [app] = create_apps(load(), ("record",))
    watch, waiting, put = Stopwatch(), set[asyncio.Task[None]](), Recorder.put
    left = {number: end - 1 for number, end in span.end.items() if end > span.start[number]}

    def timed(recorder: Recorder, tp: Any, batch: Any, ack: Any) -> None:
        if recorder.topic == topics.MEASUREMENTS and not watch.started:
            watch.start()
        put(recorder, tp, batch, ack)
        last = left.get(batch.partition)
        if recorder.topic == topics.MEASUREMENTS and last is not None and batch.last_offset >= last:
            # the end of the set would wait some seconds for more
            waiting.add(asyncio.create_task(_finished(recorder, batch.partition, last)))

    async def _finished(recorder: Recorder, number: int, last: int) -> None:
        await recorder.reached(number, last)
        del left[number]
        if not left:
            figures = watch.stop() | {"events": sum(span.end.values()) - sum(span.start.values())}
            stored = await asyncio.to_thread(recorder.sink.store.query, COUNT)
            print(json.dumps(figures | {"stored": stored[0][0]}), flush=True)
            os._exit(0)

    Recorder.put = timed  # type: ignore[method-assign]
    mode.Worker(app, loglevel="WARNING", redirect_stdouts=False).execute_from_commandline()


if __name__ == "__main__":
    main(Span.from_json(sys.argv[1]))
