"""`/v1/statistics`: the number of images in any range of time, and of those over any thresholds."""

import time
from collections.abc import Callable
from typing import Any

from aiohttp import web

from red_common.events import rfc3339
from red_common.problems import Problem
from red_common.web.auth import client_of
from red_common.web.responses import json_response
from red_stats.domain.measurements import from_ms
from red_stats.resources import Resources
from red_stats.store import queries
from red_stats.web.at_least import ReadYourWrites
from red_stats.web.parameters import known, positions_of, thresholds_of, time_of


class Statistics:
    """The view of statistics, from ClickHouse, exact to the millisecond of event time."""

    def __init__(
        self, resources: Resources, read_your_writes: ReadYourWrites, now: Callable[[], float] = time.time
    ) -> None:
        self._resources = resources
        self._read_your_writes = read_your_writes
        self._now = now

    def routes(self) -> list[web.RouteDef]:
        """The route of this view."""
        return [web.get("/v1/statistics", self.get)]

    async def get(self, request: web.Request) -> web.Response:
        """The number of images in `[from, to)`, and of those over each threshold."""
        client_id = client_of(request, "statistics")
        given = known(request, "from", "to", repeated=("threshold", "at_least"))
        start, end = time_of(given, "from"), time_of(given, "to")
        if start > end:
            raise Problem("invalid_parameter", "The parameter from is later than to.", parameter="from")
        thresholds = thresholds_of(request)
        positions = positions_of(request, self._resources.settings.partitions)
        await self._read_your_writes.stored(positions, request)
        now = int(self._now() * 1000)
        images, over, offset = await self._count(client_id, start, end, thresholds)
        counted = [{"threshold": t, "over": n} for t, n in zip(thresholds, over, strict=True)]
        partition = self._resources.partition_of(client_id)
        body: dict[str, Any] = {
            "client_id": client_id,
            "from": rfc3339(from_ms(start)),
            "to": rfc3339(from_ms(end)),
            "images": images,
            "thresholds": counted,
            "as_of": {"partition": partition, "offset": offset, "time": rfc3339(from_ms(now))},
        }
        return json_response(body | (counted[0] if len(counted) == 1 else {}))

    async def _count(
        self, client_id: str, start: int, end: int, thresholds: list[float]
    ) -> tuple[int, list[int], int]:
        """Images, images over each threshold, and the last offset that the store had then."""
        partition = self._resources.partition_of(client_id)
        [row] = await self._resources.ask_for(
            client_id, queries.counts(client_id, partition, start, end, thresholds)
        )
        offset, images, over = row
        return int(images), [int(count) for count in over], int(offset)
