"""Clients share the decoders by the processor seconds their images take, and one never holds them all."""

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from red_service.decoding.fair_queue import LATEST, Cost, ImageQueue

MIB = 1 << 20


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def a_queue(seconds=0.1, decoders=3, clock=None, slowness=1.0):
    """A queue that has learned that an image of 1 MiB takes `seconds`."""
    queue = ImageQueue(decoders, clock or Clock())
    for _ in range(200):
        queue.costs.learn(MIB, Cost(seconds, seconds * slowness))
    return queue


async def a_turn(queue, cpu=0.1):
    """The next job, decoded at once."""
    turn = await queue.get()
    queue.done(turn, cpu)
    return turn.job


async def test_clients_with_equal_images_take_turns_whoever_came_first():
    queue = a_queue()
    for number in range(50):
        queue.put("flood", f"f{number}", MIB)
    queue.put("other", "o0", MIB)
    queue.put("other", "o1", MIB)

    taken = [await a_turn(queue) for _ in range(6)]

    assert taken == ["f0", "o0", "f1", "o1", "f2", "f3"]


async def test_shares_are_equal_in_processor_seconds_whatever_the_images_seemed_to_cost():
    queue = a_queue(seconds=0.01)
    costs = {"large": 0.5, "small": 0.01}
    for client in costs:
        for _ in range(1000):
            queue.put(client, client, MIB)

    spent = Counter()
    while spent.total() < 10:
        turn = await queue.get()
        queue.done(turn, costs[turn.client_id])
        spent[turn.client_id] += costs[turn.client_id]

    assert spent["small"] == pytest.approx(spent["large"], abs=0.5 + 1e-6)  # one large image


async def test_a_client_that_was_away_gets_no_more_than_its_share_for_it():
    queue = a_queue()
    queue.put("late", 0, MIB)
    await a_turn(queue)
    for _ in range(100):
        queue.put("busy", "busy", MIB)
    for _ in range(50):
        await a_turn(queue)
    for _ in range(20):
        queue.put("late", "late", MIB)

    assert Counter([await a_turn(queue) for _ in range(20)])["busy"] >= 9


async def test_a_client_never_holds_the_last_free_decoder():
    queue = a_queue(decoders=3)
    for number in range(5):
        queue.put("flood", f"f{number}", MIB)
    assert [(await queue.get()).job for _ in range(2)] == ["f0", "f1"]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await queue.get()
    queue.put("other", "o0", MIB)
    assert queue.expected_wait_seconds("third") == 0
    assert (await queue.get()).job == "o0"


async def test_a_flood_waits_for_its_own_images_and_others_do_not():
    queue = a_queue(seconds=0.1, decoders=3)
    for _ in range(40):
        queue.put("flood", None, MIB)
    for _ in range(2):
        await queue.get()

    assert queue.expected_wait_seconds("flood") == pytest.approx((38 * 0.1 + 0.1) / 2, rel=0.01)
    assert queue.expected_wait_seconds("other") == 0


def test_a_new_client_waits_for_as_much_of_every_other_as_its_own_share():
    queue = a_queue(seconds=0.1, decoders=2)
    for client in range(10):
        for _ in range(10):
            queue.put(f"c{client}", None, MIB)
    queue.put("new", None, MIB)

    assert queue.expected_wait_seconds("new") == pytest.approx(11 * 0.1, rel=0.01)


def test_the_wait_is_longer_where_others_want_the_processor():
    fast, slow = a_queue(), a_queue(slowness=3.0)
    for queue in (fast, slow):
        for _ in range(8):
            queue.put("c", None, MIB)
    assert slow.expected_wait_seconds("c") == pytest.approx(3 * fast.expected_wait_seconds("c"), rel=0.01)


def test_waits_shrink_with_more_decoders():
    few, many = a_queue(decoders=2), a_queue(decoders=9)
    for queue in (few, many):
        for _ in range(8):
            queue.put("c", None, MIB)
    assert few.expected_wait_seconds("c") == pytest.approx(8 * many.expected_wait_seconds("c"))


def test_small_images_do_not_make_large_ones_seem_dear():
    queue = a_queue(seconds=0.02)
    for _ in range(200):
        queue.costs.learn(100, Cost(0.002, 0.002))
    assert queue.costs.of(MIB.bit_length()).busy == pytest.approx(0.02)
    assert queue.costs.of((100).bit_length()).busy == pytest.approx(0.002)


def test_a_slow_first_image_in_a_cold_decoder_makes_the_next_no_dearer_than_any_other():
    queue = ImageQueue(2, Clock())
    queue.costs.learn(100, Cost(0.1, 0.1))
    for _ in range(63):
        queue.put("c", None, 100)
    assert queue.expected_wait_seconds("c") < 1


def test_an_idle_pool_takes_anything():
    queue = a_queue(seconds=4.0)
    assert queue.expected_wait_seconds("anybody") == 0


def test_refused_images_return_one_after_the_other_and_within_a_minute():
    clock = Clock()
    queue = a_queue(seconds=0.5, decoders=3, clock=clock)
    told = [queue.return_seconds("flood", MIB) for _ in range(1000)]
    assert told[:4] == [1, 2, 2, 2]
    assert told == sorted(told)
    assert told[-1] == LATEST
    assert queue.return_seconds("other", MIB) == 1
    clock.now += 2 * LATEST
    assert queue.return_seconds("flood", MIB) == 1


def test_refused_images_return_more_slowly_where_more_clients_share_the_decoders():
    few, many = a_queue(decoders=2), a_queue(decoders=2)
    for queue, clients in ((few, 1), (many, 4)):
        for client in range(clients):
            queue.put(f"c{client}", None, MIB)
    told = [[queue.return_seconds("c0", MIB) for _ in range(100)] for queue in (few, many)]
    assert (told[0][-1], told[1][-1]) == (11, 41)


@given(st.lists(st.sampled_from("abc"), max_size=60), st.integers(2, 5), st.randoms())
async def test_every_image_comes_out_once_in_its_clients_order(clients, decoders, random):
    queue = a_queue(decoders=decoders)
    for number, client in enumerate(clients):
        queue.put(client, (client, number), 1)

    taken, decoding = [], []
    while len(taken) < len(clients):
        if len(decoding) < decoders - 1:
            turn = await queue.get()
            taken.append(turn.job)
            decoding.append(turn)
        else:
            queue.done(decoding.pop(random.randrange(len(decoding))), random.random())

    assert sorted(taken, key=lambda one: one[1]) == list(zip(clients, range(len(clients)), strict=True))
    for client in "abc":
        mine = [number for name, number in taken if name == client]
        assert mine == sorted(mine)
    assert len(queue) == 0


@given(st.lists(st.tuples(st.sampled_from("pdx"), st.sampled_from("abc")), max_size=80))
async def test_a_queue_that_is_empty_again_expects_no_wait(steps):
    queue, jobs, turns = a_queue(), [], []
    for what, client in steps:
        if what == "p":
            jobs.append((client, object()))
            queue.put(*jobs[-1], MIB)
        elif what == "x" and jobs:
            queue.discard(*jobs.pop())
        elif turns:
            queue.done(turns.pop(), 0.3)
        while len(turns) < 2 and len(queue):
            turns.append(await queue.get())
            jobs = [job for job in jobs if job[1] is not turns[-1].job]
    for turn in turns:
        queue.done(turn, 0.3)
    queue.drain()
    assert {queue.expected_wait_seconds(client) for client in "abc"} == {0}
    assert len(queue) == 0
