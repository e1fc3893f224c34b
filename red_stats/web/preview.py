"""`POST /v1/subscriptions/preview`: what a subscription would have raised and sent over past images."""

import time
from collections.abc import Callable
from fractions import Fraction
from typing import Any, Final, NamedTuple

import msgspec
import orjson
from aiohttp import web

from red_common.events import rfc3339, to_basis_points
from red_common.problems import Problem
from red_common.web.auth import client_of
from red_stats.domain.measurements import from_ms
from red_stats.domain.preview import Day, Hour, Span, preview, threshold_for
from red_stats.domain.subscriptions import TriggerName
from red_stats.domain.thresholds import min_interval_of, per_day_of, rearm_below_of, threshold_of
from red_stats.domain.triggers import HIGHEST, Trigger
from red_stats.resources import Resources
from red_stats.store import statistics
from red_stats.store.asking import Asking
from red_stats.store.statistics import Counts, Range, every_image, from_images
from red_stats.web.at_least import ReadYourWrites
from red_stats.web.bodies import moment_in, read_body
from red_stats.web.parameters import known, positions_of

MOST_DAYS: Final = 10_000
MOST_IMAGES: Final = 2_000_000  # up to 100 bytes each while an answer is made, and four are made at a time


class Body(msgspec.Struct, forbid_unknown_fields=True, rename={"start": "from", "end": "to"}):
    """The body of the request; of `threshold` and `target_per_day` it has one."""

    start: str
    end: str
    threshold: Any = msgspec.UNSET  # numbers as `exactly` reads them
    target_per_day: Any = msgspec.UNSET
    trigger: TriggerName = "each"
    rearm_below: Any = None
    min_interval: int = 0


class Asked(NamedTuple):
    """What a body asks for: amounts in basis points; of `threshold` and `target` one is None."""

    span: Span
    threshold: int | None
    target: Fraction | None
    crossing: bool
    rearm_below: int | None
    interval_ms: int


class Previews:
    """The view of previews, from ClickHouse."""

    def __init__(
        self, resources: Resources, read_your_writes: ReadYourWrites, now: Callable[[], float] = time.time
    ) -> None:
        self._resources = resources
        self._read_your_writes = read_your_writes
        self._now = now

    def routes(self) -> list[web.RouteDef]:
        """The route of this view."""
        return [web.post("/v1/subscriptions/preview", self.preview)]

    async def preview(self, request: web.Request) -> web.Response:
        """Alerts and webhooks of a subscription in force for exactly the images of `[from, to)`."""
        client_id = client_of(request, "subscriptions", reads=True)
        known(request, repeated=("at_least",))
        positions = positions_of(request, self._resources.settings.partitions)
        asked = await read_body(request, Body, asked_of)
        await self._read_your_writes.stored(positions, request)
        now = int(self._now() * 1000)
        images = self._resources.images_of(client_id, *asked.span)
        time_text = rfc3339(from_ms(now))
        body = await self._resources.work_for(
            client_id, lambda asking: made(asking, asked, images, time_text)
        )
        return web.Response(body=body, content_type="application/json")


def asked_of(body: Body) -> Asked:
    """What the body asks for.

    Raises:
        NotAsExpected: an amount is no number, or `rearm_below` cannot stand there.
        Problem: 400 `invalid_body`, `too_many_buckets`, 422 `threshold_out_of_range`, `value_out_of_range`.
    """
    found = Span(moment_in("from", body.start), moment_in("to", body.end))
    if found.start > found.end:
        raise Problem("invalid_body", "from is later than to.")
    if found.days > MOST_DAYS:
        raise Problem("too_many_buckets", f"The range has more than {MOST_DAYS} days; preview parts of it.")
    if (body.threshold is msgspec.UNSET) == (body.target_per_day is msgspec.UNSET):
        raise Problem("invalid_body", "Of threshold and target_per_day, one is needed and the other not.")
    threshold = target = None
    if body.threshold is not msgspec.UNSET:
        threshold = to_basis_points(threshold_of(body.threshold))
    else:
        target = per_day_of(body.target_per_day, "target_per_day")
    crossing, most = body.trigger == "crossing", 1 if threshold is None else threshold / HIGHEST
    share = rearm_below_of(body.rearm_below, crossing=crossing, threshold=most)
    back = None if share is None else to_basis_points(share)
    return Asked(found, threshold, target, crossing, back, min_interval_of(body.min_interval) * 1000)


def made(asking: Asking, asked: Asked, images: Range, at: str) -> bytes:
    """The answer as JSON, at the RFC 3339 time `at`.

    Raises:
        Problem: 422 `too_many` images.
        StoreError: the store is away or refused a question.
    """
    counted = from_images(Counts(()), every_image(images), images.partition, known_mark=None)
    [[upto, number, _]] = asking.rows(counted)
    if number > MOST_IMAGES:
        raise Problem("too_many", f"The range has {number:,} images, one preview at most {MOST_IMAGES:,}.")
    body, offsets = answered(asked, asking.packed(statistics.images(images, upto)))
    ids = asking.rows(statistics.image_ids(images.client_id, offsets)) if offsets else []
    as_of = {"partition": images.partition, "offset": upto, "time": at}
    return orjson.dumps(body | {"samples": [image_id for (image_id,) in ids], "as_of": as_of})


def answered(asked: Asked, packed: bytes) -> tuple[dict[str, Any], list[int]]:
    """The answer without samples and `as_of`, and the offsets of the samples."""
    images = statistics.images_in(packed)
    threshold, back = asked.threshold, asked.rearm_below
    if threshold is None:
        assert asked.target is not None
        threshold = threshold_for(images, asked.span, asked.target, crossing=asked.crossing, rearm_below=back)
    if asked.crossing and back is None:
        back = threshold
    found = preview(images, asked.span, Trigger(threshold, back), asked.interval_ms)
    body = {
        "images": found.images,
        "alerts": found.alerts,
        "webhooks": found.webhooks,
        "days": [_shown(day) for day in found.days],
        "busiest_hours": [_shown(hour) for hour in found.busiest_hours],
    }
    answers_target = {} if asked.target is None else {"threshold": threshold / HIGHEST}
    return answers_target | body, images.offset[found.samples].tolist()


def _shown(span: Day | Hour) -> dict[str, Any]:
    return span._asdict() | {"start": rfc3339(from_ms(span.start))}
