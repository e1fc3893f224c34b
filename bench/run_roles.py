"""Role record, or live and record in one worker, as shipped: from the first batch until a set stands.

RED_DATA and RED_KAFKA say where. `stored` is what the store holds afterwards, of all sets.
"""

import asyncio
import gc
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

import uvloop

from bench.events import Span
from bench.runs import Stopwatch
from red_stats import topics
from red_stats.agents.recording import Recorder
from red_stats.app import create_apps
from red_stats.settings import load
from red_stats.tables.ownership import Ownership
from red_stats.worker import GC_THRESHOLDS, Roles

COUNT = "SELECT count() FROM red.measurements WHERE client_id != ''"


class Run:
    """Starts the watch at the first batch of any role and stops it when every role has done the set."""

    def __init__(self, span: Span, live: Ownership | None) -> None:
        self.events = sum(span.end.values()) - sum(span.start.values())
        self._left = {number: end - 1 for number, end in span.end.items() if end > span.start[number]}
        self._wanted = dict(self._left)
        self._live, self._watch = live, Stopwatch()
        self._waiting: set[asyncio.Task[None]] = set()

    def begin(self) -> None:
        if not self._watch.started:
            self._watch.start()

    def put(self, recorder: Recorder, batch: Any) -> None:
        """The end of the set would wait some seconds for more to come: hasten it."""
        last = self._left.get(batch.partition)
        if last is not None and batch.last_offset >= last:
            self._waiting.add(asyncio.create_task(self._finish(recorder, batch.partition, last)))

    async def _finish(self, recorder: Recorder, number: int, last: int) -> None:
        await recorder.reached(number, last)
        del self._left[number]
        if self._left:
            return
        while self._live is not None and not self._counted(self._live):  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        figures = self._watch.stop() | {"events": self.events}
        [[stored]] = await asyncio.to_thread(recorder.sink.store.query, COUNT)
        print(json.dumps(figures | {"stored": stored}), flush=True)
        os._exit(0)

    def _counted(self, live: Ownership) -> bool:
        return all(
            number in live.owned and live.owned[number].mark(topics.MEASUREMENTS).offset >= last
            for number, last in self._wanted.items()
        )


def main(span: Span, roles: Sequence[str]) -> None:
    uvloop.install()  # as the worker does, and so the next line
    gc.set_threshold(*GC_THRESHOLDS)
    apps = create_apps(load(), tuple(roles))
    run = Run(span, apps[roles.index("live")].ownership if "live" in roles else None)
    put, transact = Recorder.put, Ownership.transact

    def timed_put(recorder: Recorder, tp: Any, batch: Any, ack: Any) -> None:
        if recorder.topic == topics.MEASUREMENTS:
            run.begin()
        put(recorder, tp, batch, ack)
        if recorder.topic == topics.MEASUREMENTS:
            run.put(recorder, batch)

    async def timed_transact(ownership: Ownership, *arguments: Any, **options: Any) -> bool:
        run.begin()
        return await transact(ownership, *arguments, **options)

    Recorder.put, Ownership.transact = timed_put, timed_transact  # type: ignore[method-assign]
    Roles(*apps, loglevel="WARNING", redirect_stdouts=False).execute_from_commandline()


if __name__ == "__main__":
    main(Span.from_json(sys.argv[1]), sys.argv[2:])
