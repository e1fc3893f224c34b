"""`/v1/statistics`: images in any range of time and those over any thresholds, as one, by time, by amount."""

import time
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

import orjson
from aiohttp import web

from red_common.events import rfc3339
from red_common.problems import Problem
from red_common.web.auth import client_of
from red_stats.domain import buckets
from red_stats.domain.distribution import Distribution
from red_stats.domain.measurements import from_ms
from red_stats.resources import Resources
from red_stats.store.asking import Asking
from red_stats.store.statistics import Amounts, Counts, Range, Series
from red_stats.web.at_least import ReadYourWrites
from red_stats.web.parameters import (
    bins_of,
    choice_of,
    known,
    positions_of,
    quantiles_of,
    range_of,
    thresholds_of,
    zone_of,
)
from red_stats.web.plans import Plans

MAX_BUCKETS: Final = 10_000


#: What is told of a range, and the last offset that it holds.
Told = tuple[int, dict[str, Any]]


class _Asked(NamedTuple):
    """Whose images a request asks about, in `[start, end)` of event time (ms), and its other parameters."""

    client_id: str
    start: int
    end: int
    given: dict[str, str]


class Statistics:
    """The views of statistics, from ClickHouse, exact to the millisecond of event time."""

    def __init__(
        self,
        resources: Resources,
        read_your_writes: ReadYourWrites,
        plans: Plans,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._resources = resources
        self._plans = plans
        self._read_your_writes = read_your_writes
        self._now = now

    def routes(self) -> list[web.RouteDef]:
        """The routes of these views."""
        return [
            web.get("/v1/statistics", self.get),
            web.get("/v1/statistics/series", self.series),
            web.get("/v1/statistics/distribution", self.distribution),
        ]

    async def get(self, request: web.Request) -> web.Response:
        """The number of images in `[from, to)`, and of those over each threshold."""
        asked = self._asked(request, repeated="threshold")
        thresholds = thresholds_of(request)

        def tell(asking: Asking, images: Range) -> Told:
            mark, (count, over) = self._plans.answer(asking, images, Counts(thresholds))
            counted = [{"threshold": t, "over": n} for t, n in zip(thresholds, over, strict=True)]
            alone = counted[0] if len(counted) == 1 else {}
            return mark, {"images": count, "thresholds": counted, **alone}

        return await self._answer(request, asked, tell)

    async def series(self, request: web.Request) -> web.Response:
        """Every bucket of time in `[from, to)`: images, mean and most red, images over each threshold."""
        asked = self._asked(request, "bucket", "tz", repeated="threshold")
        thresholds = thresholds_of(request)
        bucket = choice_of(asked.given, "bucket", tuple(buckets.BUCKETS), required=True)
        name, zone = zone_of(asked.given)
        client_id, start, end, _ = asked
        starts = await self._resources.work_for(
            client_id, lambda asking: buckets.starts(start, end, bucket, zone, MAX_BUCKETS + 1)
        )
        if len(starts) > MAX_BUCKETS:
            detail = f"The range has more than {MAX_BUCKETS} buckets; ask for a shorter one or wider buckets."
            raise Problem("too_many_buckets", detail)

        def tell(asking: Asking, images: Range) -> Told:
            mark, found = self._plans.answer(asking, images, Series(starts or [start], thresholds))
            items = _items([*starts, end], found, len(thresholds))
            return mark, {"bucket": bucket, "tz": name, "thresholds": thresholds, "items": items}

        return await self._answer(request, asked, tell)

    async def distribution(self, request: web.Request) -> web.Response:
        """How the amounts of the images in `[from, to)` are spread: bins of equal width, and quantiles."""
        asked = self._asked(request, "bins", repeated="quantile")
        bins, quantiles = bins_of(asked.given), quantiles_of(request)

        def tell(asking: Asking, images: Range) -> Told:
            mark, found = self._plans.answer(asking, images, Amounts())
            amounts = Distribution(found)
            return mark, {
                "images": amounts.images,
                "bins": amounts.bins(bins),
                "quantiles": [{"quantile": float(q), "red": _share(amounts.quantile(q))} for q in quantiles],
                "red_mean": _mean(amounts.total, amounts.images),
                "red_min": _share(amounts.least),
                "red_max": _share(amounts.most),
            }

        return await self._answer(request, asked, tell)

    def _asked(self, request: web.Request, *single: str, repeated: str) -> _Asked:
        client_id = client_of(request, "statistics")
        given = known(request, "from", "to", *single, repeated=(repeated, "at_least"))
        return _Asked(client_id, *range_of(given), given)

    async def _answer(
        self, request: web.Request, asked: _Asked, tell: Callable[[Asking, Range], Told]
    ) -> web.Response:
        """What `tell` says of the images, once the measurements of `at_least` are recorded."""
        positions = positions_of(request, self._resources.settings.partitions)
        await self._read_your_writes.stored(positions, request)
        now = int(self._now() * 1000)
        images = self._resources.images_of(asked.client_id, asked.start, asked.end)
        start, end = rfc3339(from_ms(asked.start)), rfc3339(from_ms(asked.end))

        def made(asking: Asking) -> bytes:
            offset, told = tell(asking, images)
            as_of = {"partition": images.partition, "offset": offset, "time": rfc3339(from_ms(now))}
            return orjson.dumps(
                {"client_id": asked.client_id, "from": start, "to": end, **told, "as_of": as_of}
            )

        body = await self._resources.work_for(asked.client_id, made)
        return web.Response(body=body, content_type="application/json")


def _items(
    edges: Sequence[int], found: Mapping[int, tuple[Any, ...]], thresholds: int
) -> list[dict[str, Any]]:
    """Every bucket between two edges (ms): (images, sum, largest, over) of its start, if it has images."""
    none = (0, 0, None, [0] * thresholds)
    items = []
    for start, end in pairwise(edges):
        images, red_sum, most, over = found.get(start, none)
        item = {"start": rfc3339(from_ms(start)), "end": rfc3339(from_ms(end)), "images": images}
        items.append(item | {"red_mean": _mean(red_sum, images), "red_max": _share(most), "over": over})
    return items


def _share(red_bp: int | None) -> float | None:
    return None if red_bp is None else red_bp / 10000


def _mean(red_sum: int, images: int) -> float | None:
    return round(red_sum / images / 10000, 4) if images else None
