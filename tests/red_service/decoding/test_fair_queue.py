"""Clients take turns at the decoders, and a client that would wait longer than decoding takes is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from red_service.decoding.fair_queue import FLOOD, FORGOTTEN, MOST_REMEMBERED, SHORT_WAIT, ImageQueue
from red_service.rate_limits import RateLimits, RefusalPacing

MIB = 1 << 20


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def a_queue(seconds=0.1, workers=2, clock=None):
    """A queue that has learned that an image of 1 MiB takes `seconds`."""
    queue = ImageQueue(workers, clock or Clock())
    for _ in range(200):
        queue.observe_cost(MIB, seconds)
    return queue


async def a_turn(queue):
    """The next job, decoded at once."""
    client_id, job = await queue.get()
    queue.done(client_id)
    return job


async def test_clients_take_turns_whoever_came_first():
    queue = a_queue()
    for number in range(50):
        queue.put("flood", f"f{number}", MIB)
    queue.put("other", "o0", MIB)
    queue.put("other", "o1", MIB)

    taken = [await a_turn(queue) for _ in range(6)]

    assert taken == ["f0", "o0", "f1", "o1", "f2", "f3"]


def test_a_flood_would_wait_and_others_would_not():
    queue = a_queue()
    while not queue.would_wait("flood"):
        queue.put("flood", None, MIB)

    assert 2 <= len(queue) <= 4
    assert not queue.would_wait("other")
    assert queue.expected_wait_seconds("other") <= 0.1


async def test_in_a_flood_its_own_queue_is_shorter_for_a_while_and_others_are_not():
    clock = Clock()
    queue = a_queue(clock=clock)
    for number in range(2):
        queue.put("flood", number, MIB)
        await queue.get()
    assert not queue.would_wait("flood")
    for _ in range(4):
        queue.put("flood", None, MIB)
    for _ in range(round(MOST_REMEMBERED)):
        assert queue.would_wait("flood")
    for _ in range(4):
        await a_turn(queue)

    assert queue.would_wait("flood")
    assert not queue.would_wait("other")
    clock.now += (MOST_REMEMBERED - FLOOD + 1) / FORGOTTEN
    assert not queue.would_wait("flood")


async def test_a_client_with_nothing_in_decoders_does_not_wait_for_a_flood():
    queue = a_queue(workers=1)
    for _ in range(3):
        queue.put("flood", None, MIB)
    await queue.get()
    assert queue.would_wait("flood")
    assert queue.expected_wait_seconds("other") == pytest.approx(0.05, rel=0.01)


def test_a_burst_of_small_images_is_no_overload():
    queue = a_queue(seconds=0.0012)
    for _ in range(8):
        assert not queue.would_wait("burst")
        queue.put("burst", None, 40_000)


def test_an_idle_pool_takes_anything():
    queue = a_queue(seconds=4.0)
    assert queue.expected_wait_seconds("anybody") == 0
    assert not queue.would_wait("anybody")


@given(st.lists(st.sampled_from("abc"), max_size=60))
async def test_every_image_comes_out_once_in_its_clients_order(clients):
    queue = a_queue()
    for number, client in enumerate(clients):
        queue.put(client, (client, number), 1)

    taken = [await a_turn(queue) for _ in clients]

    assert sorted(taken, key=lambda one: one[1]) == list(zip(clients, range(len(clients)), strict=True))
    for client in "abc":
        mine = [number for name, number in taken if name == client]
        assert mine == sorted(mine)
    assert len(queue) == 0


def test_waits_shrink_with_more_decoders():
    few, many = a_queue(workers=1), a_queue(workers=8)
    for queue in (few, many):
        for _ in range(8):
            queue.put("c", None, MIB)
    assert few.expected_wait_seconds("c") == pytest.approx(8 * many.expected_wait_seconds("c"))
    assert few.expected_wait_seconds("c") > SHORT_WAIT


def test_a_client_may_send_its_burst_and_then_at_its_rate():
    clock = Clock()
    limits = RateLimits(10, 3, clock)
    for left in (3, 2, 1):
        assert limits.wait_seconds("c") == 0
        assert limits.headers("c")["RateLimit"].startswith(f'"images";r={left};')
        limits.charge("c", 1)
    assert limits.wait_seconds("c") == pytest.approx(0.1)
    assert limits.wait_seconds("other") == 0
    clock.now += 0.1
    assert limits.wait_seconds("c") == 0


def test_many_parts_are_a_debt_that_delays_later_images():
    limits = RateLimits(10, 3, Clock())
    limits.charge("c", 16)
    assert limits.wait_seconds("c") == pytest.approx(1.4)


def test_no_rate_is_no_limit_and_no_header():
    limits = RateLimits(0, 1, Clock())
    limits.charge("c", 10**6)
    assert (limits.wait_seconds("c"), limits.headers("c")) == (0, {})


def test_refusals_to_a_client_that_asks_again_at_once_are_spaced_out():
    clock = Clock()
    pacing = RefusalPacing(clock)
    assert pacing.delay_seconds("c") == 0
    assert pacing.delay_seconds("c") == pytest.approx(0.02)
    assert pacing.delay_seconds("other") == 0
    waits = [pacing.delay_seconds("c") for _ in range(200)]
    assert max(waits) == pytest.approx(1.0)
    clock.now += 2
    assert pacing.delay_seconds("c") == 0


async def test_images_in_decoders_count_as_half_done():
    queue = a_queue(seconds=0.1, workers=2)
    queue.put("c", None, MIB)
    await queue.get()
    assert queue.expected_wait_seconds("c") == 0
    queue.put("c", None, MIB)
    await queue.get()
    assert queue.expected_wait_seconds("c") == pytest.approx(0.05, rel=0.01)
    queue.put("c", None, MIB)
    assert not queue.would_wait("c")
    queue.put("c", None, MIB)
    assert queue.would_wait("c")


async def test_the_client_with_the_fewest_images_in_decoders_is_next():
    queue = a_queue(workers=3)
    for number in range(4):
        queue.put("flood", f"f{number}", MIB)
    assert [await queue.get() for _ in range(2)] == [("flood", "f0"), ("flood", "f1")]
    queue.put("other", "o0", MIB)
    assert await queue.get() == ("other", "o0")
    assert await queue.get() == ("flood", "f2")
