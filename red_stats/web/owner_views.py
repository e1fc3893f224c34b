"""Views of what live holds in memory, answered by the worker that holds the client's partition."""

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import orjson
from aiohttp import web

from red_common.events import rfc3339
from red_common.problems import Problem
from red_common.web.auth import client_of
from red_common.web.responses import json_response
from red_stats import topics
from red_stats.domain.measurements import from_ms
from red_stats.resources import Resources
from red_stats.tables.live import LiveTables
from red_stats.tables.partition_state import PartitionState, PartitionStates
from red_stats.web.at_least import ReadYourWrites
from red_stats.web.last_answers import Answer, LastAnswers
from red_stats.web.owner_proxy import PASSED, OwnerProxy, is_asked_by_worker
from red_stats.web.parameters import known, positions_of


class OwnerViews:
    """`GET` of each path gives `client_id`, what its function answers, and `as_of`; with `at_least`."""

    def __init__(
        self,
        answers: Mapping[str, Answer],
        *,
        resources: Resources,
        states: PartitionStates[LiveTables],
        read_your_writes: ReadYourWrites,
        proxy: OwnerProxy,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._answers = answers
        self._resources = resources
        self._states = states
        self._read_your_writes = read_your_writes
        self._proxy = proxy
        self._now = now
        self._last = LastAnswers()

    def routes(self) -> list[web.RouteDef]:
        """Each path, and the one at which workers ask each other."""
        views = [web.get(path, partial(self._get, answer)) for path, answer in self._answers.items()]
        return [*views, web.get(PASSED, self.passed)]

    async def _get(self, answer: Answer, request: web.Request) -> web.Response:
        client_id = client_of(request, "statistics")
        known(request, repeated=("at_least",))
        positions = positions_of(request, self._resources.settings.partitions)
        number = self._resources.partition_of(client_id)
        while True:
            found = await self._proxy.answer_of(number, client_id, request)
            if found is not None:
                return found
            await self._read_your_writes.live(positions, request)
            state = self._states.held.get(number)
            if state is None:  # reassigned while we waited
                continue
            return json_response(self._said(answer, state, client_id))

    async def now(self, path: str, client_id: str) -> bytes | None:
        """What the view at a path says about a client; None while no worker that holds it answers."""
        number = self._resources.partition_of(client_id)
        state = self._states.held.get(number)
        if state is not None:
            return orjson.dumps(self._said(self._answers[path], state, client_id))
        found = await self._proxy.owner_answer(number, path, client_id)
        if found is None or found.status != 200:
            return None
        assert isinstance(found.body, bytes)
        return found.body

    def _said(self, answer: Answer, state: PartitionState[LiveTables], client_id: str) -> dict[str, Any]:
        now = int(self._now() * 1000)
        offset = state.mark(topics.MEASUREMENTS).offset
        as_of = {"partition": state.partition, "offset": offset, "time": rfc3339(from_ms(now))}
        return {"client_id": client_id, **self._last.fields(answer, state, client_id, now), "as_of": as_of}

    async def passed(self, request: web.Request) -> web.Response:
        """That the named measurements are counted; what the workers ask each other.

        Raises:
            Problem: 403 `scope_missing`, no worker asks.
        """
        if not is_asked_by_worker(request):
            raise Problem("scope_missing", "Only workers may ask this; use /v1/live?at_least=.", close=True)
        known(request, repeated=("at_least",))
        await self._read_your_writes.live(positions_of(request, self._resources.settings.partitions), request)
        return json_response({"passed": True})
