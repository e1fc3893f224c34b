"""Pages of deliveries from a real store, beside what all its rows say."""

import asyncio
import random

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from red_common.api_keys import Caller
from red_common.events import rfc3339
from red_common.web.auth import CALLER
from red_common.web.errors import problems
from red_stats.domain.erasure import never
from red_stats.domain.measurements import from_ms
from red_stats.domain.recorded_tables import DELIVERIES
from red_stats.resources import _rows
from red_stats.web import deliveries
from tests.red_stats.web.place import an_asking

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
        passed = ["pending", *self.random.choices(STATES, k=self.random.randrange(5)), state]
        self.last[name] = client, subscription, state, at
        for number, now in enumerate(passed):
            self.offset += 1
            fields = dict(zip(DELIVERIES.columns, DELIVERIES.empty, strict=True)) | {
                "client_id": client, "id": name, "webhook_id": f"w{name}", "alert_id": f"a{name}",
                "subscription_id": subscription, "version": 1, "state": now, "attempt": number,
                "at": at + number, "ms": 1, "enqueued_at": at, "kind": "alert",
            }  # fmt: skip
            yield (*fields.values(), self.offset)

    def expected(self, client, subscription=None, state=None, made=(0, 1 << 60)):
        found = [
            (at, name)
            for name, (of, about, last, at) in self.last.items()
            if of == client
            and subscription in (None, about)
            and state in (None, last)
            and made[0] <= at < made[1]
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
            return await asyncio.to_thread(_rows, an_asking(store), question, item_of)

        erased_of = staticmethod(never)

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


@pytest.mark.parametrize("limit", [1000, 7])
@pytest.mark.parametrize("state", [None, "delivered", "held"])
@pytest.mark.parametrize("between", [(10, 30), (10, None), (None, 30), (20, 20), (41, 42)])
async def test_the_pages_of_a_time_hold_what_was_made_in_it(ask, made, limit, state, between):
    start, end = (None if one is None else NOW + one for one in between)
    given = {"from": start and rfc3339(from_ms(start)), "to": end and rfc3339(from_ms(end))}
    found = [item for page in await pages(ask, limit, state=state, **given) for item in page]
    assert [item["id"] for item in found] == made.expected("a", None, state, (start or 0, end or 1 << 60))
    assert all(item["created_at"] == rfc3339(from_ms(made.last[item["id"]][3])) for item in found)


async def test_an_alert_is_in_no_delivery_of_another_time(ask, made):
    [name, at] = next((name, at) for name, (client, *_, at) in made.last.items() if client == "a")
    for start, end, found in ((at, at + 1, 1), (at + 1, at + 2, 0), (at - 1, at, 0)):
        given = {"from": rfc3339(from_ms(start)), "to": rfc3339(from_ms(end))}
        _, page = await ask("/v1/deliveries", alert=f"a{name}", **given)
        assert len(page["items"]) == found


@pytest.mark.parametrize(
    "given",
    [
        {"from": "yesterday"},
        {"to": "2026-01-01T00:00:00"},
        {"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"},
    ],
)
async def test_what_is_no_time_is_refused(ask, given):
    status, problem = await ask("/v1/deliveries", **given)
    assert (status, problem["code"]) == (400, "invalid_parameter")
    status, _ = await ask("/v1/deliveries", **{"from": "9999-01-01T00:00:00Z", "to": "9999-01-01T00:00:00Z"})
    assert status == 200


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
