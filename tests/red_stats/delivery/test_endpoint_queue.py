"""Which delivery of an endpoint goes out next."""

from hypothesis import given
from hypothesis import strategies as st

from red_stats.delivery.endpoint_queue import OPENS_AFTER, WIDTH, EndpointQueue

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
    found = [int(name) for name, _ in popped(queue, 0)]
    assert found == sorted((n for n, at in enumerate(times) if at <= 0), key=lambda n: times[n])


def test_what_waits_is_known_by_the_due_time_it_was_pushed_with():
    queue = EndpointQueue(SCHEDULE)
    queue.push("a", due=3_600_000, at=10)
    assert popped(queue, 10) == [("a", 3_600_000)]


def test_no_more_go_out_at_a_time_than_the_queue_is_wide_and_one_after_a_failure():
    queue = EndpointQueue(SCHEDULE)
    queue.push("a", due=0, at=0)
    for _ in range(WIDTH):
        queue.began()
    assert (popped(queue, 0), queue.next_at()) == ([], None)
    queue.failed(0, 0, lambda: 0.5)
    for _ in range(WIDTH - 1):
        queue.ended()
    assert popped(queue, 0) == []


def test_after_5_failures_the_schedule_belongs_to_the_endpoint_until_somebody_asks():
    queue = EndpointQueue(SCHEDULE)
    queue.push("a", due=0, at=0)
    for _ in range(OPENS_AFTER):
        queue.failed(0, 0, lambda: 0.5)
    assert queue.is_open
    assert popped(queue, 4_999) == []
    queue.wake()
    assert popped(queue, 0) == [("a", 0)]
