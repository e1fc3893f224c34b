"""`at_least=`: an answer waits until the named measurements are folded into what it reads."""

import asyncio
from collections.abc import Awaitable, Iterable, Mapping

from aiohttp import web

from red_common.kafka.connection import KafkaError, TopicPartition
from red_common.kafka.end_offsets import LogEnds
from red_common.problems import Problem
from red_stats import topics
from red_stats.kafka.range_reader import read_range
from red_stats.resources import Resources
from red_stats.store import queries
from red_stats.store.clickhouse import StoreError
from red_stats.store.recorder import Recorder
from red_stats.web.owner_proxy import SECONDS, OwnerProxy
from red_stats.web.parameters import Position

POLL_SECONDS = 0.1


class ReadYourWrites:
    """Waits for live's mark and the store's; 503 `not_yet` after 5 s."""

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

    async def live(self, positions: Iterable[Position], request: web.Request) -> None:
        """Until live has counted them, in whichever worker."""
        await self._within(self._live(positions, request))

    async def stored(self, positions: Iterable[Position]) -> None:
        """Until the table of measurements has them."""
        waits = [self._recorded(topics.MEASUREMENTS, p.partition, p.offset) for p in positions]
        await self._within(_all(waits))

    async def alerts(self, positions: Iterable[Position], request: web.Request) -> None:
        """Until live has judged them and the alerts it then had raised are recorded."""
        await self._within(self._alerts(list(positions), request))

    async def stop(self) -> None:
        """Disconnects."""
        await self._ends.stop()

    async def _within(self, work: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(self._seconds):
                await work
        except (TimeoutError, KafkaError, StoreError) as error:
            detail = f"Not folded in within {self._seconds:g} s; try again."
            raise Problem("not_yet", detail) from error

    async def _live(self, positions: Iterable[Position], request: web.Request) -> None:
        await _all([self._proxy.passed(position, request) for position in positions])

    async def _alerts(self, positions: list[Position], request: web.Request) -> None:
        await self._live(positions, request)
        await _all([self._alerts_of(number) for number in {p.partition for p in positions}])

    async def _alerts_of(self, number: int) -> None:
        start = await self._next(topics.ALERTS, number)
        tp = TopicPartition(topics.ALERTS, number)
        # The end with what is committed but not yet marked so; and since the end holds control
        # records, which are never recorded, it is the last alert before it that is waited for.
        end = await self._ends.end(topics.ALERTS, number)
        raised = await read_range(self._resources.settings.connection, tp, start, end)
        if raised:
            await self._recorded(topics.ALERTS, number, raised[-1].offset)

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


async def _all(waits: Iterable[Awaitable[None]]) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            for wait in waits:
                group.create_task(_one(wait))
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from failed


async def _one(wait: Awaitable[None]) -> None:
    await wait
