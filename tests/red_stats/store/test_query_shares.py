"""A client's queries take its own share of the store, and nobody else's."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from red_common.problems import Problem
from red_stats.store.query_shares import QueryShares


@pytest.fixture
def executor():
    with ThreadPoolExecutor(4) as executor:
        yield executor


class Work:
    """Queries that run until they are let go; `most` is how many ran at once."""

    def __init__(self):
        self.go, self._lock = threading.Event(), threading.Lock()
        self.running = self.most = self.done = 0

    def __call__(self):
        with self._lock:
            self.running += 1
            self.most = max(self.most, self.running)
        assert self.go.wait(20)
        with self._lock:
            self.running -= 1
            self.done += 1
        return self.done


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.002)


async def test_one_client_never_keeps_another_waiting(executor):
    shares, hostile = QueryShares(executor), Work()
    asked = [asyncio.create_task(shares.run("eve", hostile)) for _ in range(18)]
    await until(lambda: hostile.running == 2)

    assert await asyncio.wait_for(shares.run("anna", lambda: "answer"), 5) == "answer"

    hostile.go.set()
    await asyncio.gather(*asked)
    assert (hostile.done, hostile.most) == (18, 2)


async def test_what_is_too_much_is_refused_and_the_rest_answered(executor):
    shares, work = QueryShares(executor, together=1, waiting=3), Work()
    asked = [asyncio.create_task(shares.run("eve", work)) for _ in range(6)]
    await until(lambda: work.running == 1)
    work.go.set()
    answers = await asyncio.gather(*asked, return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, Problem)]
    assert [(problem.code, problem.retry_after) for problem in refused] == [("rate_limited", 1)] * 2
    assert work.done == 4
    assert await shares.run("eve", lambda: "again") == "again"


async def test_who_leaves_keeps_its_place_while_its_query_runs_and_loses_it_while_it_waits(executor):
    shares, first, never = QueryShares(executor, together=1), Work(), Work()
    running = asyncio.create_task(shares.run("eve", first))
    await until(lambda: first.running == 1)
    waiting = asyncio.create_task(shares.run("eve", never))
    patient = asyncio.create_task(shares.run("eve", lambda: "mine"))
    await asyncio.sleep(0)
    for task in (running, waiting):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert not patient.done()
    first.go.set()
    assert await asyncio.wait_for(patient, 5) == "mine"
    assert (first.done, never.done, never.running) == (1, 0, 0)


async def test_work_that_fails_gives_its_place_back(executor):
    shares = QueryShares(executor, together=1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            await shares.run("eve", lambda: 1 // 0)
    await until(lambda: not shares._shares)


async def test_who_leaves_just_as_its_turn_comes_passes_it_on(executor):
    shares, first = QueryShares(executor, together=1), Work()
    running = asyncio.create_task(shares.run("eve", first))
    await until(lambda: first.running == 1)
    leaving = asyncio.create_task(shares.run("eve", lambda: "never"))
    last = asyncio.create_task(shares.run("eve", lambda: "mine"))
    await asyncio.sleep(0)
    [turn, _] = shares._shares["eve"].waiting
    turn.add_done_callback(lambda _: leaving.cancel())
    first.go.set()
    assert await asyncio.wait_for(last, 5) == "mine"
    await running
    await until(lambda: not shares._shares)


async def test_who_leaves_while_its_turn_is_passed_over_is_cancelled_like_any_other(executor):
    shares, first = QueryShares(executor, together=1), Work()
    running = asyncio.create_task(shares.run("eve", first))
    await until(lambda: first.running == 1)
    waiting = asyncio.create_task(shares.run("eve", lambda: "never"))
    await asyncio.sleep(0)
    waiting.cancel()
    shares._leave("eve")
    with pytest.raises(asyncio.CancelledError):
        await waiting
    first.go.set()
    await running


#: Of a question: seconds by the clock, of the processor, and charged.
TIMES = [(2.0, 0.01, 2.0), (0.2, 0.15, 0.15), (0.01, 0.01, 0.01)]


class Clocks:
    """Work takes `wall` seconds by the clock and `used` of the processor."""

    now = processor = 1000.0

    def work(self, wall, used):
        def work():
            self.now += wall
            self.processor += used

        return work


async def until_refused(shares, work):
    """How often it runs until it is refused, and the refusal."""
    for done in range(100_000):
        try:
            await shares.run("eve", work)
        except Problem as refused:
            return done, refused
        await asyncio.sleep(0)
    raise AssertionError("it is never refused")


@pytest.mark.parametrize(("wall", "used", "charged"), TIMES)
async def test_a_client_has_five_seconds_at_once_and_a_quarter_of_every_second(executor, wall, used, charged):
    clocks = Clocks()
    shares = QueryShares(executor, lambda: clocks.now, lambda: clocks.processor)
    started = clocks.now
    done, refused = await until_refused(shares, clocks.work(wall, used))
    assert refused.code == "rate_limited"
    earned = (clocks.now - started) / 4
    assert 4 - charged <= done * charged - earned <= 5 + charged
    assert await shares.run("anna", lambda: "answer") == "answer"
    clocks.now += refused.retry_after
    await shares.run("eve", clocks.work(0, 0))
