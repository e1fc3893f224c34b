"""Role live as it is shipped, from its first batch to the end of a set; RED_DATA and RED_KAFKA say where."""

import gc
import json
import os
import sys
from typing import Any

import uvloop

from bench.events import Span
from bench.runs import Stopwatch
from red_common.kafka import patches
from red_stats import topics
from red_stats.app import create_process, die
from red_stats.faust.worker import Worker
from red_stats.settings import load
from red_stats.worker import GC_THRESHOLDS, without_gc


def main(span: Span) -> None:
    uvloop.install()  # as the worker does, and so the next line
    gc.set_threshold(*GC_THRESHOLDS)
    settings = load()
    patches.apply()
    [app], shared = create_process(settings, ("live",), loading=without_gc)
    states, watch, started = app.role.states, Stopwatch(), False
    transact = states.transact
    wanted = {number: end - 1 for number, end in span.end.items() if end > span.start[number]}

    def done() -> bool:
        return all(
            number in states.held and states.held[number].mark(topics.MEASUREMENTS).offset >= last
            for number, last in wanted.items()
        )

    async def timed(*arguments: Any, **options: Any) -> bool:
        nonlocal started
        if not started:
            started = True
            watch.start()
        folded = await transact(*arguments, **options)
        if done():
            figures = watch.stop() | {"events": sum(span.end.values()) - sum(span.start.values())}
            print(json.dumps(figures), flush=True)
            os._exit(0)
        return folded

    states.transact = timed  # type: ignore[method-assign]
    Worker(
        app, shared=shared, fatal=die, loglevel="WARNING", redirect_stdouts=False
    ).execute_from_commandline()


if __name__ == "__main__":
    main(Span.from_json(sys.argv[1]))
