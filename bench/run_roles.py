"""Role record, or live and record in one worker, as shipped: from the first fetch until a set stands.

Two roles begin together: the start of one while the other works is no part of an event's cost.
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
from red_common.kafka import patches
from red_stats import topics
from red_stats.app import create_process, die
from red_stats.faust.batch_consumer import BatchConsumer
from red_stats.faust.worker import Worker
from red_stats.settings import load
from red_stats.store.recorder import Recorder
from red_stats.tables.partition_state import PartitionStates
from red_stats.worker import GC_THRESHOLDS, without_gc

COUNT = "SELECT count() FROM red.measurements WHERE client_id != ''"


class Run:
    """Starts the watch when every role asks for its first batch, stops it when all have done the set."""

    def __init__(self, span: Span, roles: int, live: PartitionStates[Any] | None) -> None:
        self.events = sum(span.end.values()) - sum(span.start.values())
        self._left = {number: end - 1 for number, end in span.end.items() if end > span.start[number]}
        self._wanted = dict(self._left)
        self._live, self._watch = live, Stopwatch()
        self._asking: set[Any] = set()
        self._roles, self._all_ask = roles, asyncio.Event()
        self._waiting: set[asyncio.Task[None]] = set()

    async def begin(self, consumer: BatchConsumer) -> None:
        """Returns when the consumers of all roles have come here."""
        self._asking.add(consumer)
        if len(self._asking) == self._roles and not self._watch.started:
            self._watch.start()
            self._all_ask.set()
        await self._all_ask.wait()

    def put(self, recorder: Recorder, batch: Any) -> None:
        """The end of the set would wait some seconds for more to come: ask for its insert."""
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

    def _counted(self, live: PartitionStates[Any]) -> bool:
        return all(
            number in live.held and live.held[number].mark(topics.MEASUREMENTS).offset >= last
            for number, last in self._wanted.items()
        )


def main(span: Span, roles: Sequence[str]) -> None:
    uvloop.install()  # as the worker does, and so the next line
    gc.set_threshold(*GC_THRESHOLDS)
    patches.apply()
    apps, shared = create_process(load(), tuple(roles), loading=without_gc)
    run = Run(span, len(roles), apps[roles.index("live")].role.states if "live" in roles else None)
    put, getmany = Recorder.put, BatchConsumer._getmany

    def watched(recorder: Recorder, tp: Any, batch: Any, ack: Any, fetching: Any) -> None:
        put(recorder, tp, batch, ack, fetching)
        if recorder.topic == topics.MEASUREMENTS:
            run.put(recorder, batch)

    async def held(consumer: BatchConsumer, partitions: Any, timeout: float) -> Any:
        if any(tp.topic == topics.MEASUREMENTS for tp in partitions):
            await run.begin(consumer)
        return await getmany(consumer, partitions, timeout)

    Recorder.put, BatchConsumer._getmany = watched, held  # type: ignore[method-assign]
    Worker(
        *apps, shared=shared, fatal=die, loglevel="WARNING", redirect_stdouts=False
    ).execute_from_commandline()


if __name__ == "__main__":
    main(Span.from_json(sys.argv[1]), sys.argv[2:])
