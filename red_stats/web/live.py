"""`/v1/live`: a client's counts as live's tables hold them now, without any store."""

import time
from collections.abc import Callable
from typing import Any

from aiohttp import web

from red_common.events import rfc3339
from red_common.web.auth import client_of
from red_common.web.responses import json_response
from red_stats import topics
from red_stats.domain import windows
from red_stats.domain.measurements import WINDOW_MS, from_ms
from red_stats.domain.windows import Window
from red_stats.resources import Resources
from red_stats.tables.live import LiveTables
from red_stats.tables.partition_state import PartitionState, PartitionStates
from red_stats.web.at_least import ReadYourWrites
from red_stats.web.owner_proxy import PASSED, OwnerProxy
from red_stats.web.parameters import known, positions_of

HOUR_MS = 3_600_000
SPANS = {"1m": 60_000, "1h": HOUR_MS, "24h": 24 * HOUR_MS}


class Live:
    """Totals, the windows of the last hour, its histogram, and counts per subscription."""

    def __init__(
        self,
        resources: Resources,
        states: PartitionStates[LiveTables],
        read_your_writes: ReadYourWrites,
        proxy: OwnerProxy,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._states = states
        self._resources = resources
        self._read_your_writes = read_your_writes
        self._proxy = proxy
        self._now = now

    def routes(self) -> list[web.RouteDef]:
        """Where it is."""
        return [web.get("/v1/live", self.get), web.get(PASSED, self.passed)]

    async def get(self, request: web.Request) -> web.Response:
        """The counts now."""
        client_id = client_of(request, "statistics")
        known(request, repeated=("at_least",))
        positions = positions_of(request, self._resources.settings.partitions)
        number = self._resources.partition_of(client_id)
        while True:
            found = await self._proxy.answer_of(number, request)
            if found is not None:
                return found
            await self._read_your_writes.live(positions, request)
            state = self._states.held.get(number)
            if state is not None:
                return json_response(live_of(state, client_id, int(self._now() * 1000)))

    async def passed(self, request: web.Request) -> web.Response:
        """That the named measurements are counted; what the workers ask each other."""
        known(request, repeated=("at_least",))
        await self._read_your_writes.live(positions_of(request, self._resources.settings.partitions), request)
        return json_response({"passed": True})


def live_of(state: PartitionState[LiveTables], client_id: str, now: int) -> dict[str, Any]:
    """The view of one client at `now` (ms): half-open windows, totals of those that overlap a span."""
    held = state.tables.windows.of(client_id)
    last = windows.minute_of(now)
    hour = {m: held[m] for m in sorted(held) if windows.minute_of(now - HOUR_MS) <= m <= last}
    spans = {name: windows.minute_of(now - span) for name, span in SPANS.items()}
    client = state.tables.thresholds.get(client_id)
    return {
        "client_id": client_id,
        "totals": {name: {"images": windows.tally(held, first, last)} for name, first in spans.items()},
        "windows": [_window(minute, window) for minute, window in hour.items()],
        "histogram": windows.histogram(hour.values()),
        "subscriptions": [
            {"id": s.id, "threshold": s.threshold, **_tallied(s.id, hour)}
            for s in (client.subscriptions if client else ())
        ],
        "as_of": {
            "partition": state.partition,
            "offset": state.mark(topics.MEASUREMENTS).offset,
            "time": rfc3339(from_ms(now)),
        },
    }


def _window(minute: int, window: Window) -> dict[str, Any]:
    return {
        "start": rfc3339(from_ms(minute * WINDOW_MS)),
        "end": rfc3339(from_ms((minute + 1) * WINDOW_MS)),
        "images": window.images,
        "red_mean": round(window.red_sum / window.images / 10000, 4),
    }


def _tallied(subscription_id: str, hour: dict[int, Window]) -> dict[str, int]:
    tallies = [window.subscriptions.get(subscription_id, (0, 0)) for window in hour.values()]
    return {"images": sum(t[0] for t in tallies), "over": sum(t[1] for t in tallies)}
