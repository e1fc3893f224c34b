"""`/v1/measurements`: the client's own images, in pages, or all of them as a stream of CSV or JSON lines."""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from typing import Final, NamedTuple

import orjson
from aiohttp import web

from red_common.problems import Problem
from red_common.web.auth import client_of
from red_common.web.responses import cut_off_when_failed, guard, json_response
from red_stats.resources import Resources
from red_stats.store import statistics
from red_stats.store.queries import Question
from red_stats.store.statistics import MEASUREMENT, Place, Range
from red_stats.web.at_least import ReadYourWrites
from red_stats.web.parameters import (
    choice_of,
    count_of,
    invalid,
    known,
    one_threshold_of,
    positions_of,
    range_of,
)
from red_stats.web.places import Places

EVER: Final = {"from": "1970-01-01T00:00:00Z", "to": "9999-12-31T23:59:59.999Z"}
ORDERS: Final = ("newest", "oldest")
STREAMS: Final = 3  # of one client at once
TOGETHER: Final = 5_000  # rows of a stream that are in memory at once: about 2 MB
READER_SECONDS: Final = 60  # in which a reader takes that many, or is cut off
POSITION: Final = "Red-Position"  # the header that says up to which position a stream goes
_CURSOR: Final = re.compile(r"([0-9]{1,15})-([0-9]{1,18})-([0-9a-f]{16})")


class _Format(NamedTuple):
    content_type: str
    engine: str


FORMATS: Final = {
    "csv": _Format("text/csv", "CSV"),
    "jsonl": _Format("application/jsonl", "JSONEachRow"),
}


class _Asked(NamedTuple):
    """Which images, and in which order; a cursor belongs to one of these."""

    range: Range
    over: float | None
    newest_first: bool

    def rows(self, form: str, limit: int, *, behind: Place | None, upto: int | None = None) -> Question:
        """The question for some of them, in an output format of the engine."""
        return statistics.measurements(
            self.range,
            form,
            limit=limit,
            newest_first=self.newest_first,
            over=self.over,
            behind=behind,
            upto=upto,
        )

    def cursor(self, place: Place) -> str:
        """The name of what comes behind a place."""
        return f"{place.at}-{place.offset}-{self._name}"

    def behind(self, cursor: str | None) -> Place | None:
        """The place that a cursor names; None: the beginning.

        Raises:
            Problem: 400, it is no cursor, or one of another question.
        """
        if cursor is None:
            return None
        found = _CURSOR.fullmatch(cursor)
        if found is None or found[3] != self._name:
            raise invalid("cursor", "it must be the `next` of a page of the same question")
        return Place(int(found[1]), int(found[2]))

    @property
    def _name(self) -> str:
        return hashlib.sha256(repr(self).encode()).hexdigest()[:16]


class Measurements:
    """The view of images, from ClickHouse."""

    def __init__(self, resources: Resources, read_your_writes: ReadYourWrites) -> None:
        self._resources = resources
        self._read_your_writes = read_your_writes
        self.streams = Places(STREAMS, _too_many)

    def routes(self) -> list[web.RouteDef]:
        """The route of this view."""
        return [web.get("/v1/measurements", self.get)]

    async def get(self, request: web.Request) -> web.StreamResponse:
        """A page; `next` is its next `cursor`. With `format`, all of them."""
        client_id = client_of(request, "statistics")
        names = ("from", "to", "over", "order", "limit", "cursor", "format")
        given = known(request, *names, repeated=("at_least",))
        newest_first = choice_of(given, "order", ORDERS) == "newest"
        where = self._resources.images_of(client_id, *range_of(EVER | given))
        asked = _Asked(where, one_threshold_of(given, "over"), newest_first)
        limit = count_of(given, "limit", 100, 1, 1000)
        behind = asked.behind(given.get("cursor"))
        form = choice_of(given, "format", tuple(FORMATS)) if "format" in given else None
        if form is not None and (together := {"limit", "cursor"} & given.keys()):
            raise invalid(min(together), "it cannot be combined with format, which gives all of them")
        positions = positions_of(request, self._resources.settings.partitions)
        await self._read_your_writes.stored(positions, request)
        if form is not None:
            return await self._stream(request, asked, form)
        question = self._now(asked).rows("JSONEachRow", limit + 1, behind=behind)
        rows = await self._resources.ask_for(client_id, question)
        items = [orjson.Fragment(row[2].rstrip()) for row in rows[:limit]]
        following = asked.cursor(Place(*rows[limit - 1][:2])) if len(rows) > limit else None
        return json_response({"items": items, "next": following})

    def _now(self, asked: _Asked) -> _Asked:
        """The same without what has been erased since it was asked."""
        client_id, _, start, end, _ = asked.range
        return asked._replace(range=self._resources.images_of(client_id, start, end))

    async def _stream(self, request: web.Request, asked: _Asked, form: str) -> web.StreamResponse:
        """All that is recorded now; what ends without the last chunk of its transfer is not all."""
        with self.streams.taken_by(asked.range.client_id):
            [[upto]] = await self._resources.ask_for(asked.range.client_id, statistics.mark(asked.range))
            response = guard(web.StreamResponse())
            response.content_type, response.charset = FORMATS[form].content_type, "utf-8"
            response.headers[POSITION] = f"{asked.range.partition}:{upto}"
            response.headers["Content-Disposition"] = f'attachment; filename="measurements.{form}"'
            response.enable_chunked_encoding()
            await response.prepare(request)
            if request.method == "HEAD":
                return response
            async with cut_off_when_failed(request):
                async for lines in self._lines(asked, form, upto):
                    async with asyncio.timeout(READER_SECONDS):
                        await response.write(lines)
            return response

    async def _lines(self, asked: _Asked, form: str, upto: int) -> AsyncIterator[bytes]:
        if form == "csv":
            yield f"{','.join(MEASUREMENT)}\n".encode()
        behind = None
        while True:
            question = self._now(asked).rows(FORMATS[form].engine, TOGETHER, behind=behind, upto=upto)
            rows = await self._resources.ask_patiently(asked.range.client_id, question)
            yield "".join(row[2] for row in rows).encode()
            if len(rows) < TOGETHER:
                return
            behind = Place(*rows[-1][:2])


def _too_many() -> Problem:
    detail = f"{STREAMS} streams of this client's images are under way already; wait for one to end."
    return Problem("rate_limited", detail, retry_after=5)
