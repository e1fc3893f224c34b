"""Counts are held by one live worker for each partition: any worker answers by asking that one."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

import aiohttp
from aiohttp import web

from red_common.problems import Problem
from red_stats import topics
from red_stats.kafka.partition_owners import PartitionOwners
from red_stats.tables.live import LiveTables
from red_stats.tables.partition_state import PartitionStates
from red_stats.web.parameters import Position

SECONDS: Final = 5.0
PAUSE_SECONDS: Final = 0.1
ASKED: Final = "X-Red-Asked-By"  # a worker that asks in the name of its caller; never asked on
PASSED: Final = "/v1/live/passed"


class OwnerProxy:
    """Asks the workers that hold the partitions of role live, as they have announced."""

    def __init__(
        self,
        live: PartitionStates[LiveTables],
        owners: PartitionOwners,
        *,
        seconds: float = SECONDS,
        pause: Callable[[float], Any] = asyncio.sleep,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._live, self._owners = live, owners
        self._seconds, self._pause, self._now = seconds, pause, now
        self._session: aiohttp.ClientSession | None = None

    async def answer_of(self, number: int, request: web.Request) -> web.Response | None:
        """What the owner answers to the same request; None once the partition is ours.

        Raises:
            Problem: 503 `not_ready` (`not_yet` with `at_least`) when nobody holds it for 5 s.
        """
        deadline = self._now() + self._seconds
        while number not in self._live.held:
            asked = ASKED in request.headers
            found = None if asked else await self._asked(number, request, str(request.rel_url))
            if found is not None:
                return found
            if asked or self._now() >= deadline:
                code = "not_yet" if "at_least" in request.query and not asked else "not_ready"
                raise Problem(code, "Nobody holds this client's counts now; try again.")
            await self._pause(PAUSE_SECONDS)
        return None

    async def passed(self, position: Position, request: web.Request) -> None:
        """Returns once live has folded the position, wherever it is held."""
        target = f"{PASSED}?at_least={position.partition}:{position.offset}"
        while True:
            if position.partition in self._live.held:
                if await self._passed_here(position):
                    return
            elif ASKED in request.headers and request.path == PASSED:
                raise Problem("not_ready", "This worker does not hold that partition now.")
            else:
                found = await self._asked(position.partition, request, target)
                if found is not None and found.status == 200:
                    return
                await self._pause(PAUSE_SECONDS)

    def url_of(self, number: int) -> str | None:
        """The address of the worker that holds the partition; None when it is nobody or this one."""
        url = self._owners.urls.get(number)
        return None if url == self._owners.own else url

    async def stop(self) -> None:
        """Closes the connections."""
        if self._session is not None:
            await self._session.close()

    async def _passed_here(self, position: Position) -> bool:
        try:
            async with asyncio.timeout(0.5):  # then look again whether it is still ours
                await self._live.reached(topics.MEASUREMENTS, position.partition, position.offset)
        except TimeoutError:
            return False
        return True

    async def _asked(self, number: int, request: web.Request, target: str) -> web.Response | None:
        """The owner's answer; None while there is none or it is not ready."""
        url = self.url_of(number)
        if url is None:
            return None
        headers = {"Authorization": request.headers["Authorization"], ASKED: self._owners.own}
        try:
            async with asyncio.timeout(self._seconds + 1):
                session = self._session = self._session or aiohttp.ClientSession(trust_env=False)
                async with session.get(url + target, headers=headers) as found:
                    body = await found.read()
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None
        if found.status == 503 and b'"not_ready"' in body:
            return None
        return web.Response(body=body, status=found.status, content_type=found.content_type)
