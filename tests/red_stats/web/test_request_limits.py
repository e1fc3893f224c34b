"""How often a client may call RED_STATS, and what it is told."""

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from red_common.api_keys import Caller
from red_common.problems import Problem
from red_common.web.auth import CALLER
from red_common.web.errors import problems
from red_common.web.more_headers import more_headers
from red_stats.web import request_limits
from red_stats.web.changes import READS
from red_stats.web.preview import Previews
from red_stats.web.redeliver import Redeliveries
from red_stats.web.request_limits import COMMANDS, take
from red_stats.web.subscriptions import Subscriptions
from red_stats.web.worker_tokens import SCOPE

ONE = "/v1/subscriptions/s"


LISTS = {"c": 1000, "other": 1000, "large": 300 << 10}  # bytes of each client's list


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@web.middleware
async def authentication(request, handler):
    if "client" in request.headers:
        scopes = frozenset(request.headers.get("scopes", "").split())
        request[CALLER] = Caller(request.headers["client"], "k", scopes)
    return await handler(request)


async def answer(request):
    return web.json_response({})


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def ask(clock):
    limits = request_limits.request_limits(clock, LISTS.__getitem__)
    application = web.Application(middlewares=[more_headers, problems(), authentication, limits])
    for route in Subscriptions(None, None, None, None).routes():
        application.router.add_route(route.method, route.path, answer)
    application.router.add_get("/health/live", answer)
    async with TestClient(TestServer(application)) as client:

        async def ask(method, path, **headers):
            async with client.request(method, path, headers=headers) as found:
                return found.status, found.headers, await found.json()

        yield ask


async def test_a_client_sends_100_commands_at_once_and_then_5_a_second(ask, clock):
    ways = [("POST", "/v1/subscriptions"), ("PATCH", ONE), ("DELETE", ONE), ("POST", f"{ONE}/rotate-secret")]
    for number in range(100):
        status, headers, _ = await ask(*ways[number % 4], client="c")
        assert (status, headers["RateLimit-Policy"]) == (200, '"commands";q=100;w=20')
        assert headers["RateLimit"].startswith(f'"commands";r={99 - number};')

    for way in ways:
        status, headers, problem = await ask(*way, client="c")
        assert (status, problem["code"], headers["Retry-After"]) == (429, "rate_limited", "1")
        assert headers["RateLimit"] == '"commands";r=0;t=20'

    clock.now += 1
    assert [(await ask("PATCH", ONE, client="c"))[0] for _ in range(6)] == [200] * 5 + [429]


async def test_what_a_clients_commands_write_in_a_day_is_bounded_however_large_its_list(ask, clock):
    sent = 0
    while (found := await ask("PATCH", ONE, client="large"))[0] == 200:
        sent += 1
        clock.now += 0.2
    assert sent * (348 << 10) <= (256 << 20) + (1 << 20)
    assert sent > 700
    assert (found[2]["code"], "in a day" in found[2]["detail"]) == ("rate_limited", True)
    assert 0 < int(found[1]["Retry-After"]) < 120
    assert (await ask("PATCH", ONE, client="c"))[0] == 200
    clock.now += int(found[1]["Retry-After"])
    assert (await ask("PATCH", ONE, client="large"))[0] == 200


async def test_who_asks_again_at_once_over_many_connections_is_refused_50_times_a_second(ask, monkeypatch):
    slept = []

    async def sleep(seconds):
        slept.append(seconds)

    monkeypatch.setattr(request_limits.asyncio, "sleep", sleep)
    for _ in range(400):
        await ask("DELETE", ONE, client="c")
    assert len(slept) == 300
    assert slept == pytest.approx([n / 50 for n in range(300)])
    await ask("DELETE", ONE, client="other")
    assert len(slept) == 300


async def test_neither_another_client_nor_reads_and_tests_pay_for_a_clients_commands(ask):
    for _ in range(101):
        status, *_ = await ask("DELETE", ONE, client="c")
    assert status == 429
    assert (await ask("DELETE", ONE, client="other"))[0] == 200
    status, headers, _ = await ask("GET", ONE, client="c")
    assert (status, headers["RateLimit"]) == (200, '"requests";r=999;t=1')
    status, headers, _ = await ask("POST", f"{ONE}/test", client="c")
    assert (status, headers["RateLimit"]) == (200, '"requests";r=998;t=1')


async def test_a_client_makes_1000_other_calls_at_once_whatever_their_address(ask, clock):
    for number in range(1000):
        status, *_ = await ask("GET", "/nothing" if number % 2 else ONE, client="c")
        assert status in (200, 404)
    status, headers, problem = await ask("GET", "/nothing", client="c")
    assert (status, problem["code"], headers["RateLimit-Policy"]) == (
        429, "rate_limited", '"requests";q=1000;w=10',
    )  # fmt: skip
    clock.now += 0.02
    assert (await ask("GET", ONE, client="c"))[0] == 200


async def test_who_needs_no_key_has_no_limit_and_is_told_of_none(ask):
    for _ in range(1001):
        status, headers, _ = await ask("GET", "/health/live")
    assert (status, "RateLimit" in headers) == (200, False)


def test_every_change_of_a_subscription_is_a_command():
    routes = Subscriptions(None, None, None, None).routes() + Redeliveries(None, None, None).routes()
    changes = {(route.method, route.path) for route in routes if route.method != "GET"}
    assert changes - {("POST", "/v1/subscriptions/{id}/test")} == COMMANDS


def test_a_preview_is_no_command():
    [route] = Previews(None, None).routes()

    assert route.path in READS
    assert (route.method, route.path) not in COMMANDS


def test_a_subscription_is_tested_once_in_10_s(clock):
    limits = request_limits.test_event_limits(clock)
    take(limits, "s", "Tested")
    take(limits, "another", "Tested")
    clock.now += 0.5
    with pytest.raises(Problem) as refused:
        take(limits, "s", "Tested")
    assert (refused.value.code, refused.value.retry_after) == ("rate_limited", 10)
    clock.now += 9.5
    take(limits, "s", "Tested")


async def test_workers_that_ask_each_other_have_no_limit(ask):
    for _ in range(1100):
        status, _, _ = await ask("GET", "/v1/none", client="", scopes=SCOPE)
        assert status == 404
