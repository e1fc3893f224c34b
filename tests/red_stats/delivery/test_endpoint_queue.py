"""Which delivery of an endpoint goes out next."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from red_stats.delivery.endpoint_queue import WIDTH, EndpointQueue
from red_stats.domain.deliveries import url_mark
from red_stats.domain.retries import BREAKER_OPENS_AFTER

SCHEDULE = (5, 300, 1800)


def popped(queue, now):
    found = []
    while (one := queue.pop(now)) is not None:
        found.append(one)
    return found


@given(st.lists(st.integers(-1000, 1000)))
def test_deliveries_go_out_in_the_order_of_their_times_and_none_before(times):
    queue = EndpointQueue(SCHEDULE)
    for number, at in enumerate(times):
        queue.push(str(number), due=7, at=at)
    found = [int(name) for name, _, _ in popped(queue, 0)]
    assert found == sorted((n for n, at in enumerate(times) if at <= 0), key=lambda n: times[n])


def test_what_waits_is_known_by_the_due_time_it_was_pushed_with():
    queue = EndpointQueue(SCHEDULE)
    queue.push("a", due=3_600_000, at=10)
    assert popped(queue, 10) == [("a", 3_600_000, False)]


def test_no_more_go_out_at_a_time_than_the_queue_is_wide_and_one_after_a_failure():
    queue = EndpointQueue(SCHEDULE)
    queue.push("a", due=0, at=0)
    for _ in range(WIDTH):
        queue.began()
    assert (popped(queue, 0), queue.next_at()) == ([], None)
    queue.failed(0, "", 0, lambda: 0.5)
    for _ in range(WIDTH - 1):
        queue.ended()
    assert popped(queue, 0) == []


def failed(queue, now=0, hint=0.0, url="https://one.example/"):
    queue.failed(now, url, hint, lambda: 1.0)


def test_after_5_failures_nothing_but_a_probe_goes_out_until_somebody_asks():
    queue = EndpointQueue(SCHEDULE)
    queue.push("a", due=0, at=0)
    for _ in range(BREAKER_OPENS_AFTER):
        failed(queue)
    assert queue.is_open
    assert popped(queue, 56_999) == []
    queue.wake()
    assert popped(queue, 0) == [("a", 0, False)]


def opened():
    """A queue whose breaker is open until 57 s, with two deliveries that were due before that."""
    queue = EndpointQueue(SCHEDULE)
    for name in "ab":
        queue.push(name, due=0, at=0)
    for _ in range(BREAKER_OPENS_AFTER):
        failed(queue)
    return queue


def test_what_goes_at_once_does_so_while_the_breaker_is_open_and_nothing_else_with_it():
    queue = opened()
    queue.push("test", due=1_000, at=1_000, at_once=True)
    assert (queue.next_at(), queue.is_free(1_000)) == (1_000, False)
    assert popped(queue, 56_999) == [("test", 1_000, False)]
    assert popped(queue, 57_000) == [("a", 0, False), ("b", 0, False)]


def test_what_goes_at_once_stands_ahead_of_what_has_waited_longer():
    queue = EndpointQueue(SCHEDULE)
    queue.push("test", due=1_000, at=1_000, at_once=True)
    assert not queue.is_free(1_000)
    queue.push("a", due=0, at=0)
    assert queue.next_at() == 0
    assert [one.delivery_id for one in popped(queue, 1_000)] == ["test", "a"]


def test_what_goes_at_once_waits_for_the_probe_under_way_and_not_for_the_breaker_behind_it():
    queue = opened()
    assert queue.pop(57_000).delivery_id == "a"
    queue.began()
    queue.push("test", due=58_000, at=58_000, at_once=True)
    assert queue.next_at() is None
    failed(queue, now=59_000)
    queue.ended()
    assert popped(queue, 59_000) == [("test", 58_000, False)]


def test_what_goes_at_once_takes_the_place_of_no_probe():
    queue = EndpointQueue(SCHEDULE)
    failed(queue)
    queue.push("a", due=7, at=9_000_000)
    queue.push("test", due=0, at=0, at_once=True)
    assert queue.pop(0).delivery_id == "test"
    queue.began(at_once=True)
    queue.ended()
    assert popped(queue, 4_750) == [("a", 7, True)]


def test_what_goes_at_once_waits_for_the_time_that_retry_after_asks_for_and_is_forgotten_as_all_is():
    queue = EndpointQueue(SCHEDULE)
    failed(queue, hint=900.0)
    queue.push("a", due=0, at=0)
    queue.push("test", due=0, at=0, at_once=True)
    assert popped(queue, 899_999) == []
    assert queue.pop(900_000).delivery_id == "test"
    queue.push("test", due=0, at=0, at_once=True)
    assert queue
    queue.clear()
    assert (bool(queue), popped(queue, 900_000)) == (False, [])


@pytest.mark.parametrize("failures", range(1, 12))
def test_an_endpoint_that_fails_is_tried_within_a_minute_whatever_is_due_when(failures):
    queue = EndpointQueue(SCHEDULE)
    for _ in range(failures):
        failed(queue)
    queue.push("a", due=7, at=20_000_000)
    expected = [4_750, 9_500, 19_000, 28_500, 57_000][min(failures, 5) - 1]
    assert queue.next_at() == expected
    assert popped(queue, expected) == [("a", 7, True)]


def test_one_probe_goes_out_for_each_failure():
    queue = EndpointQueue(SCHEDULE)
    failed(queue)
    for name in "abc":
        queue.push(name, due=7, at=20_000_000)
    assert queue.pop(5_000).is_probe
    queue.began()
    queue.ended()
    assert popped(queue, 1_000_000) == []


def test_no_probe_goes_out_where_a_delivery_is_due_about_then():
    queue = EndpointQueue((1, 1))
    failed(queue)
    queue.push("a", due=7, at=5_800)
    assert queue.next_at() == 5_800
    assert popped(queue, 5_800) == [("a", 7, False)]


def test_the_first_success_after_an_outage_makes_everything_due_in_its_order():
    queue = EndpointQueue(SCHEDULE)
    for name, at in (("b", 8_000_000), ("a", 7_000_000), ("now", 0)):
        queue.push(name, due=at, at=at)
    for _ in range(BREAKER_OPENS_AFTER):
        failed(queue)
    queue.succeeded(100_000)
    assert [one.delivery_id for one in popped(queue, 100_000)] == ["now", "a", "b"]


def test_a_single_failure_among_successes_makes_nothing_due():
    queue = EndpointQueue(SCHEDULE)
    queue.push("poison", due=9_000_000, at=9_000_000)
    failed(queue)
    queue.succeeded(1_000)
    assert popped(queue, 1_000_000) == []


def test_nothing_goes_out_before_the_time_that_retry_after_asks_for():
    queue = EndpointQueue(SCHEDULE)
    failed(queue, hint=900.0)
    queue.push("new", due=0, at=0)
    queue.wake()
    assert not queue.is_free(899_000)
    assert popped(queue, 899_999) == []
    assert popped(queue, 900_000) == [("new", 0, False)]


def test_a_post_that_succeeds_after_another_was_told_to_retry_later_lets_nothing_out_before_that_time():
    queue = EndpointQueue(SCHEDULE)
    for _ in range(2):
        queue.began()
    failed(queue, hint=900.0)
    queue.succeeded(1_000)
    for _ in range(2):
        queue.ended()
    queue.push("new", due=0, at=0)
    assert not queue.is_free(899_999)
    assert popped(queue, 899_999) == []
    assert popped(queue, 900_000) == [("new", 0, False)]


def test_what_one_url_asked_for_holds_for_no_other_though_it_took_something_after_that():
    queue = EndpointQueue(SCHEDULE)
    failed(queue, hint=900.0)
    queue.succeeded(1_000)
    queue.push("a", due=0, at=0)
    queue.moved_to("https://one.example/")
    assert popped(queue, 1_000) == []
    queue.moved_to("https://two.example/")
    assert popped(queue, 1_000) == [("a", 0, False)]


def test_what_one_url_did_says_nothing_about_another():
    queue = EndpointQueue(SCHEDULE)
    queue.push("a", due=0, at=0)
    for _ in range(BREAKER_OPENS_AFTER):
        failed(queue, hint=900.0)
    queue.moved_to("https://one.example/")
    assert popped(queue, 0) == []
    queue.moved_to("https://two.example/")
    assert popped(queue, 0) == [("a", 0, False)]


def test_an_endpoint_whose_deliveries_failed_in_another_process_is_probed_soon():
    queue = EndpointQueue(SCHEDULE)
    queue.push("a", due=7, at=9_000_000)
    queue.suspect(0, lambda: 0.5)
    assert popped(queue, 2_500) == [("a", 7, True)]


def test_a_probe_that_came_to_nothing_is_repeated():
    queue = EndpointQueue(SCHEDULE)
    failed(queue)
    queue.push("a", due=7, at=9_000_000)
    assert queue.pop(5_000).is_probe
    queue.began()
    queue.ended()
    queue.suspect(6_000, lambda: 0.5)
    queue.push("a", due=7, at=9_000_000)
    assert popped(queue, 8_500) == [("a", 7, True)]


def test_what_rows_say_of_retry_after_holds_in_another_process():
    queue = EndpointQueue(SCHEDULE)
    queue.leave_alone(900_000, url_mark("https://one.example/"))
    queue.push("new", due=0, at=0)
    queue.clear()
    queue.push("new", due=0, at=0)
    assert popped(queue, 899_999) == []
    assert queue.asked_until == 900_000
    queue.moved_to("https://two.example/")
    assert popped(queue, 0) == [("new", 0, False)]


def test_a_disabled_endpoint_is_not_probed():
    queue = EndpointQueue(SCHEDULE)
    failed(queue)
    queue.push("held", due=7, at=9_000_000)
    queue.rest()
    assert popped(queue, 1_000_000) == []
