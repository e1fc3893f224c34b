"""One worker of role live holds the counts of a partition; the others answer by asking it."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, Final

import aiohttp
from aiohttp import web
from yarl import URL

from red_common.problems import Problem
from red_common.web.auth import CALLER
from red_common.web.trust import Trust
from red_stats import topics
from red_stats.kafka.partition_owners import PartitionOwners
from red_stats.tables.live import LiveTables
from red_stats.tables.partition_state import PartitionStates
from red_stats.web.parameters import Position
from red_stats.web.worker_tokens import HEADER, SCOPE, WorkerTokens

log = logging.getLogger(__name__)

SECONDS: Final = 5.0
LOGGED_EVERY: Final = 60.0  # seconds
PAUSE_SECONDS: Final = 0.1
PASSED: Final = "/v1/live/passed"
PASSED_ON: Final = ("Retry-After",)  # headers of the owner's answer


def is_asked_by_worker(request: web.Request) -> bool:
    """Whether a worker asks for its caller; such a request is never passed on."""
    return SCOPE in request[CALLER].scopes


class OwnerProxy:
    """Asks the workers that hold the partitions of role live, at the addresses they have announced."""

    def __init__(
        self,
        live: PartitionStates[LiveTables],
        owners: PartitionOwners,
        tokens: WorkerTokens,
        *,
        trusted: Callable[[], Trust],
        seconds: float = SECONDS,
        pause: Callable[[float], Any] = asyncio.sleep,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._live, self._owners, self._tokens = live, owners, tokens
        self._trusted = trusted
        self._seconds, self._pause, self._now = seconds, pause, now
        self._log_at = 0.0
        self._session: aiohttp.ClientSession | None = None

    async def answer_of(self, number: int, client_id: str, request: web.Request) -> web.Response | None:
        """The owner's answer to the same request about a client; None once this worker holds the partition.

        Raises:
            Problem: 503 `not_ready` (`not_yet` with `at_least`) when nobody answers for it within 5 s.
        """
        deadline = self._now() + self._seconds
        while number not in self._live.held:
            is_passed_on = is_asked_by_worker(request)
            target = str(request.rel_url.without_query_params("client"))  # the token names the client
            found = None if is_passed_on else await self.owner_answer(number, target, client_id)
            if found is not None:
                return found
            if is_passed_on or self._now() >= deadline:
                code = "not_yet" if "at_least" in request.query and not is_passed_on else "not_ready"
                raise Problem(code, "No worker holds this client's counts now; try again.")
            await self._pause(PAUSE_SECONDS)
        return None

    async def passed(self, position: Position, request: web.Request) -> None:
        """Return once live has folded a position, in whichever worker.

        Raises:
            Problem: 503 `not_ready` if another worker asks for a partition that is not held here.
        """
        target = f"{PASSED}?at_least={position.partition}:{position.offset}"
        while True:
            if position.partition in self._live.held:
                if await self._passed_here(position):
                    return
            elif is_asked_by_worker(request) and request.path == PASSED:
                raise Problem("not_ready", "This worker does not hold that partition now.")
            else:
                found = await self.owner_answer(position.partition, target)
                if found is not None and found.status == 200:
                    return
                await self._pause(PAUSE_SECONDS)

    def url_of(self, number: int) -> str | None:
        """The address of the worker that holds a partition; None if no other worker has announced it."""
        url = self._owners.urls.get(number)
        return None if url == self._owners.own else url

    async def stop(self) -> None:
        """Close the connections to other workers."""
        if self._session is not None:
            await self._session.close()

    async def owner_answer(self, number: int, target: str, client_id: str = "") -> web.Response | None:
        """The owner's answer to `target`; None while no owner is known, or it is not ready."""
        url = self.url_of(number)
        if url is None:
            return None
        headers = {HEADER: self._tokens.new(client_id, target)}
        try:
            async with asyncio.timeout(self._seconds + 1):
                session = self._session = self._session or aiohttp.ClientSession(trust_env=False)
                asked = URL(url + target, encoded=True)
                async with session.get(asked, headers=headers, ssl=self._trusted()) as found:
                    body = await found.read()
        except (aiohttp.ClientSSLError, aiohttp.ServerFingerprintMismatch, ValueError) as error:
            self._log_distrust(url, error)
            return None
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None
        if found.status == 503 and b'"not_ready"' in body:
            return None
        told = {name: found.headers[name] for name in PASSED_ON if name in found.headers}
        return web.Response(body=body, status=found.status, content_type=found.content_type, headers=told)

    async def _passed_here(self, position: Position) -> bool:
        try:
            async with asyncio.timeout(0.5):  # then check again whether it is still held here
                await self._live.reached(topics.MEASUREMENTS, position.partition, position.offset)
        except TimeoutError:
            return False
        return True

    def _log_distrust(self, url: str, error: Exception) -> None:
        if self._now() >= self._log_at:
            self._log_at = self._now() + LOGGED_EVERY
            log.warning("the worker at %s is not trusted: check RED_TLS_CA and RED_TLS_CERT (%r)", url, error)
