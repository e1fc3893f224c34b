"""`at_least=`: an answer waits until the named measurements are folded into what it reads."""

import asyncio
import contextlib
from collections.abc import Awaitable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final

from aiohttp import web

from red_common.kafka.connection import KafkaError, TopicPartition
from red_common.kafka.end_offsets import LogEnds
from red_common.problems import Problem
from red_common.web.auth import CALLER
from red_stats import topics
from red_stats.kafka.range_reader import read_range
from red_stats.resources import Resources
from red_stats.store import queries
from red_stats.store.clickhouse import StoreError
from red_stats.store.recorder import Recorder
from red_stats.web.owner_proxy import SECONDS, OwnerProxy, is_asked_by_worker
from red_stats.web.parameters import Position
from red_stats.web.places import Places

POLL_SECONDS = 0.1
WAITING: Final = 20  # requests of one client
LOOK_BACK: Final = 50  # offsets: the last of them may be markers of transactions


class ReadYourWrites:
    """Waits for the marks of live and of the store; every method raises 503 `not_yet` after `seconds`.

    Of each client at most WAITING requests wait at once: all that wait look again at every commit.
    """

    def __init__(
        self,
        resources: Resources,
        proxy: OwnerProxy,
        recorders: Mapping[str, Recorder],
        seconds: float = SECONDS,
    ) -> None:
        self._resources = resources
        self._recorders = recorders
        self._proxy = proxy
        self._ends = LogEnds(resources.settings.connection)
        self._seconds = seconds
        self._waiting = Places(WAITING, _too_many)

    async def live(self, positions: Sequence[Position], request: web.Request) -> None:
        """Wait until live has counted the measurements, in whichever worker.

        Raises:
            Problem: 503 `not_yet`; 429 `rate_limited`, too many requests of the client wait already.
        """
        if positions:
            await self._within(request, self._live(positions, request))

    async def stored(self, positions: Sequence[Position], request: web.Request) -> None:
        """Wait until the table of measurements has them.

        Raises:
            Problem: 503 `not_yet`; 429 `rate_limited`, too many requests of the client wait already.
        """
        if positions:
            await self._within(request, self._stored(positions))

    async def alerts(self, positions: Sequence[Position], request: web.Request) -> None:
        """Wait until live has counted the measurements and all alerts raised by then are recorded.

        Raises:
            Problem: 503 `not_yet`; 429 `rate_limited`, too many requests of the client wait already.
        """
        if positions:
            await self._within(request, self._alerts(positions, request))

    async def everything_told(self, client_id: str, request: web.Request) -> None:
        """Wait until all alerts and deliveries of a client so far are recorded.

        Raises:
            Problem: 503 `not_yet`; 429 `rate_limited`, too many requests of the client wait already.
        """
        await self._within(request, self._told(self._resources.partition_of(client_id)))

    async def stop(self) -> None:
        """Disconnect from Kafka."""
        await self._ends.stop()

    async def _within(self, request: web.Request, work: Coroutine[Any, Any, None]) -> None:
        with contextlib.closing(work), self._place(request):
            await self._in_time(work)

    def _place(self, request: web.Request) -> AbstractContextManager[None]:
        if is_asked_by_worker(request):  # for a client that has its place there
            return contextlib.nullcontext()
        return self._waiting.taken_by(request[CALLER].client_id)

    async def _in_time(self, work: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(self._seconds):
                await work
        except (TimeoutError, KafkaError, StoreError) as error:
            detail = f"The measurements were not processed within {self._seconds:g} s; try again."
            raise Problem("not_yet", detail) from error

    async def _live(self, positions: Iterable[Position], request: web.Request) -> None:
        await _all([self._proxy.passed(position, request) for position in positions])

    async def _stored(self, positions: Sequence[Position]) -> None:
        await _all([self._recorded(topics.MEASUREMENTS, p.partition, p.offset) for p in positions])

    async def _alerts(self, positions: Sequence[Position], request: web.Request) -> None:
        await self._live(positions, request)
        await _all([self._all_of(topics.ALERTS, number) for number in {p.partition for p in positions}])

    async def _told(self, number: int) -> None:
        await _all([self._all_of(topic, number) for topic in (topics.ALERTS, topics.DELIVERIES)])

    async def _all_of(self, topic: topics.Topic, number: int) -> None:
        start = await self._next(topic, number)
        # The end includes what is committed but not yet marked as such. Control records at the end are
        # never recorded, so wait for the last record before it.
        end = await asyncio.shield(self._ends.end(topic, number))  # others ask over its connection
        last = await self._last_before(TopicPartition(topic, number), start, end)
        if last is not None:
            await self._recorded(topic, number, last)

    async def _last_before(self, tp: TopicPartition, start: int, end: int) -> int | None:
        """The offset of the last record of `[start, end)`; None: it has none."""
        upto, few = end, LOOK_BACK
        while start < upto:
            begin = max(start, upto - few)
            found = await read_range(self._resources.settings.connection, tp, begin, upto)
            if found:
                return int(found[-1].offset)
            upto, few = begin, few * 4
        return None

    async def _recorded(self, topic: topics.Topic, number: int, offset: int) -> None:
        recorder = self._recorders.get(topic)
        if recorder is not None:
            await recorder.reached(number, offset)
            return
        while await self._next(topic, number) <= offset:  # noqa: ASYNC110 another process moves it
            await asyncio.sleep(POLL_SECONDS)

    async def _next(self, topic: topics.Topic, number: int) -> int:
        recorder = self._recorders.get(topic)
        if recorder is not None:
            return recorder.next.get(number, 0)
        assert topic.stored_in is not None
        [[count, last]] = await self._resources.ask(queries.mark(topic.stored_in, number))
        return int(last) + 1 if count else 0


def _too_many() -> Problem:
    detail = f"{WAITING} requests of this client wait with at_least already; ask fewer at once."
    return Problem("rate_limited", detail, retry_after=1)


async def _all(waits: Iterable[Awaitable[None]]) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            for wait in waits:
                group.create_task(_one(wait))
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from failed


async def _one(wait: Awaitable[None]) -> None:
    await wait
