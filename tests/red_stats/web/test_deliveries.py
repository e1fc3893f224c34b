"""Pages of deliveries from a real store, beside what all its rows say."""

import asyncio
import random

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from red_common.api_keys import Caller
from red_common.web.auth import CALLER
from red_common.web.errors import problems
from red_stats.domain.recorded_tables import DELIVERIES
from red_stats.resources import _rows
from red_stats.web import deliveries

STATES = ("pending", "held", "delivered", "exhausted", "cancelled")
ENDED = STATES[2:]
NOW = 1_790_000_000_000
COUNT = 300


class Made:
    """Deliveries of two clients, many of them made in the same millisecond, with up to six rows each."""

    def __init__(self, store):
        self.store, self.random, self.offset, self.last = store, random.Random(7), 0, {}

    def add(self, count, start=NOW):
        rows = [row for n in range(count) for row in self.delivery(f"d{start}-{n:03}", start + n // 7)]
        self.random.shuffle(rows)
        names = (*DELIVERIES.columns, "kafka_offset")
        for number, part in enumerate((rows[::2], rows[1::2])):
            columns = [list(column) for column in zip(*part, strict=True)]
            self.store.insert("deliveries", names, [columns], f"{start}/{number}")

    def delivery(self, name, at):
        client, subscription = self.random.choice("ab"), self.random.choice("st")
        state = self.random.choice(STATES)
        passed = ["pending", *self.random.choices(["pending", "held"], k=self.random.randrange(5)), state]
        self.last[name] = client, subscription, state, at
        for number, now in enumerate(passed):
            self.offset += 1
            ids = client, name, f"w{name}", f"a{name}", subscription
            yield (*ids, 1, now, number, at + number, 0, "", 1, 0, at, self.offset)

    def expected(self, client, subscription=None, state=None):
        found = [
            (at, name)
            for name, (of, about, last, at) in self.last.items()
            if of == client and subscription in (None, about) and state in (None, last)
        ]
        return [name for _, name in sorted(found, reverse=True)]


@pytest.fixture(scope="module")
def made(store):
    made = Made(store)
    made.add(COUNT)
    return made


@pytest.fixture
async def ask(store):
    class Resources:
        async def ask_for(self, client_id, question, item_of=None):
            return await asyncio.to_thread(_rows, store, question, item_of)

    @web.middleware
    async def known(request, handler):
        request[CALLER] = Caller("a", "k", frozenset({"subscriptions"}))
        return await handler(request)

    application = web.Application(middlewares=[problems(), known])
    application.add_routes(deliveries.Deliveries(Resources()).routes())
    async with TestClient(TestServer(application)) as client:

        async def ask(path, **parameters):
            given = {name: str(value) for name, value in parameters.items() if value is not None}
            async with client.get(path, params=given) as found:
                return found.status, await found.json()

        yield ask


async def pages(ask, limit, **filters):
    after, found = None, []
    while True:
        status, page = await ask("/v1/deliveries", limit=limit, after=after, **filters)
        assert status == 200
        assert len(page["items"]) <= limit
        found.append(page["items"])
        after = page["next"]
        if after is None:
            return found


@pytest.mark.parametrize("limit", [1000, 50, 7])
@pytest.mark.parametrize("subscription", [None, "s"])
@pytest.mark.parametrize("state", [None, *STATES])
async def test_the_pages_hold_every_delivery_once_newest_first(ask, made, limit, subscription, state):
    found = await pages(ask, limit, subscription=subscription, state=state)
    assert all(len(page) == limit for page in found[:-1])
    items = [item for page in found for item in page]
    assert [item["id"] for item in items] == made.expected("a", subscription, state)
    assert all(item["state"] == made.last[item["id"]][2] for item in items)
    assert all(
        [a["attempt"] for a in item["attempts"]] == [*range(1, len(item["attempts"]) + 1)] for item in items
    )


async def test_a_delivery_that_is_made_between_two_pages_moves_nothing(ask, made):
    before = made.expected("a")
    _, first = await ask("/v1/deliveries", limit=10)
    made.add(30, NOW + 1_000_000)
    _, second = await ask("/v1/deliveries", limit=1000, after=first["next"])
    assert [item["id"] for item in first["items"] + second["items"]] == before
    _, newest = await ask("/v1/deliveries", limit=1000)
    assert [item["id"] for item in newest["items"]] == made.expected("a")


async def test_a_delivery_is_found_by_its_id_and_by_its_alert_and_by_no_other_client(ask, made):
    for name, (client, subscription, state, _) in list(made.last.items())[:40]:
        status, _ = await ask(f"/v1/deliveries/{name}")
        assert status == (200 if client == "a" else 404)
        _, page = await ask("/v1/deliveries", alert=f"a{name}", state=state, subscription=subscription)
        assert [item["id"] for item in page["items"]] == ([name] if client == "a" else [])
        assert page["next"] is None
    _, page = await ask("/v1/deliveries", alert="anobody")
    assert page == {"items": [], "next": None}
    assert (await ask("/v1/deliveries", alert=""))[0] == 400


@pytest.mark.parametrize("after", ["", "7", "-x", "x-1", "٣-x", "1" * 16 + "-x", "1-" + "x" * 201])
async def test_what_is_no_next_of_a_page_is_refused(ask, after):
    status, problem = await ask("/v1/deliveries", after=after)
    assert (status, problem["code"]) == (400, "invalid_parameter")
    status, _ = await ask("/v1/deliveries", after=f"{'9' * 15}-x")
    assert status == 200
