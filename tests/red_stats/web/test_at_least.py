"""How many requests of one client wait for their measurements."""

import asyncio
from types import SimpleNamespace

import pytest

from red_common.api_keys import Caller
from red_common.problems import Problem
from red_common.web.auth import CALLER
from red_stats.settings import Settings
from red_stats.web.at_least import WAITING, ReadYourWrites
from red_stats.web.parameters import Position
from red_stats.web.worker_tokens import SCOPE

SOME = [Position(0, 7)]


class Proxy:
    def __init__(self):
        self.counted = asyncio.Event()

    async def passed(self, position, request):
        await self.counted.wait()


def a_request(client_id, scope="statistics"):
    return {CALLER: Caller(client_id, "k", frozenset({scope}))}


@pytest.fixture
async def place():
    proxy = Proxy()
    resources = SimpleNamespace(settings=Settings())
    return SimpleNamespace(proxy=proxy, wait=ReadYourWrites(resources, proxy, {}, seconds=5))


async def begun(place, client_id, count, scope="statistics"):
    tasks = [asyncio.create_task(place.wait.live(SOME, a_request(client_id, scope))) for _ in range(count)]
    await asyncio.sleep(0)
    return tasks


async def test_a_client_whose_requests_all_wait_may_not_make_more_wait_and_others_may(place):
    waiting = await begun(place, "hostile", WAITING)
    for ways in (place.wait.live, place.wait.stored, place.wait.alerts):
        with pytest.raises(Problem) as refused:
            await ways(SOME, a_request("hostile"))
        assert (refused.value.status, refused.value.code) == (429, "rate_limited")
    await place.wait.live([], a_request("hostile"))  # what does not wait is not refused
    waiting += await begun(place, "other", WAITING)
    waiting += await begun(place, "hostile", 5, scope=SCOPE)  # asked by workers, whose clients wait there

    place.proxy.counted.set()

    await asyncio.gather(*waiting)
    await place.wait.live(SOME, a_request("hostile"))


async def test_who_leaves_or_is_answered_not_yet_leaves_its_place(place):
    for task in await begun(place, "a", WAITING):
        task.cancel()
    await asyncio.sleep(0)
    await asyncio.gather(*await begun(place, "b", 1), return_exceptions=True)

    waiting = await begun(place, "a", WAITING)
    place.proxy.counted.set()
    await asyncio.gather(*waiting)
    brief = ReadYourWrites(SimpleNamespace(settings=Settings()), Proxy(), {}, seconds=0.01)
    for _ in range(WAITING + 1):
        with pytest.raises(Problem, match="not_yet"):
            await brief.live(SOME, a_request("a"))
