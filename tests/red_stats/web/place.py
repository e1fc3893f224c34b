"""A view on a real store, asked by the client `a` over HTTP, and images in the store."""

import asyncio
import random
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from red_common.api_keys import Caller
from red_common.web.auth import CALLER
from red_common.web.errors import problems
from red_stats.domain.erasure import never
from red_stats.domain.recorded_tables import MEASUREMENTS
from red_stats.resources import _rows
from red_stats.settings import Settings
from red_stats.store.asking import Asking
from red_stats.store.statistics import Range

PARTITION = 2
NAMES = (*MEASUREMENTS.columns, "kafka_partition", "kafka_offset", "batch_first", "batch_rows", "batch_at")


def an_asking(store):
    """A piece of work of a client that nobody ends."""
    return Asking(store, "a-test", 10)


class Resources:
    """What views ask of the real one, without shares."""

    settings = Settings()

    def __init__(self, store):
        self.store, self.admitted = store, 0

    async def ask_for(self, client_id, question, item_of=None):
        return await self.work_for(client_id, lambda asking: _rows(asking, question, item_of))

    async def work_for(self, client_id, work):
        self.admitted += 1
        return await asyncio.to_thread(work, an_asking(self.store))

    ask_patiently = ask_for

    def partition_of(self, client_id):
        return PARTITION

    erased_of = staticmethod(never)

    def images_of(self, client_id, start, end):
        return Range(client_id, PARTITION, start, end, self.erased_of(client_id).before)


class AtOnce:
    """A store that has everything already."""

    async def stored(self, positions, request):
        return None


@asynccontextmanager
async def served(view, scope="statistics", telling=None):
    """An HTTP client that asks the view as client `a`; `telling` is the middleware that tells errors."""

    @web.middleware
    async def known(request, handler):
        request[CALLER] = Caller("a", "k", frozenset({scope}))
        return await handler(request)

    application = web.Application(middlewares=[telling or problems(), known])
    application.add_routes(view.routes())
    async with TestClient(TestServer(application)) as client:
        yield client


@asynccontextmanager
async def asking(view, scope="statistics"):
    """A function that asks the view as client `a`: parameters may be lists; (status, body)."""
    async with served(view, scope) as client:

        async def ask(path, raw=False, length=False, **parameters):
            given = [
                (name, str(one))
                for name, value in parameters.items()
                for one in (value if isinstance(value, list) else [value])
                if one is not None
            ]
            async with client.get(path, params=given) as found:
                if length:
                    return found.status, sum([len(piece) async for piece in found.content.iter_any()])
                return found.status, (await found.text()) if raw else await found.json()

        yield ask


class Images:
    """Images of the clients `a` and `b` in a store, in parts, as (measured_at in ms, red_bp, offset)."""

    def __init__(self, store, seed=7):
        self.store, self.seed, self.random = store, seed, random.Random(seed)
        self.offset = seed * 100_000
        self.of = {"a": [], "b": []}

    def add(self, times, reds=None, clients="aab"):
        """Images of any of the clients at these times, in no order of time, of any of these amounts (bp)."""
        first, rows = self.offset + 1, []
        for at in times:
            client = self.random.choice(clients)
            red = self.random.choice(reds or [0, 2500, 9999, 10000, self.random.randrange(10001)])
            self.offset += 1
            self.of[client].append((at, red, self.offset))
            values = dict(zip(MEASUREMENTS.columns, MEASUREMENTS.empty, strict=True))
            values |= {"client_id": client, "measured_at": at, "red_bp": red, "image_id": f'i"{self.offset},'}
            rows.append([*values.values(), PARTITION, self.offset, first, 0, 0])
        self.offset += 1
        marker = [*MEASUREMENTS.empty, PARTITION, self.offset, first, len(rows), 0]
        columns = [list(column) for column in zip(*rows, marker, strict=True)]
        self.store.insert("measurements", NAMES, [columns], f"images/{self.offset}")

    def within(self, start, end, client="a"):
        return [one for one in self.of[client] if start <= one[0] < end]
