"""Which delivery of an endpoint goes out next."""

from hypothesis import given
from hypothesis import strategies as st

from red_stats.delivery.endpoint_queue import OPENS_AFTER, WIDTH, Lane

SCHEDULE = (5, 300, 1800)


def popped(lane, now):
    found = []
    while (one := lane.pop(now)) is not None:
        found.append(one)
    return found


@given(st.lists(st.integers(-1000, 1000)))
def test_deliveries_go_out_in_the_order_of_their_times_and_none_before(times):
    lane = Lane(SCHEDULE)
    for number, at in enumerate(times):
        lane.push(str(number), due=7, at=at)
    found = [int(name) for name, _ in popped(lane, 0)]
    assert found == sorted((n for n, at in enumerate(times) if at <= 0), key=lambda n: times[n])


def test_what_waits_is_known_by_the_due_time_it_was_pushed_with():
    lane = Lane(SCHEDULE)
    lane.push("a", due=3_600_000, at=10)
    assert popped(lane, 10) == [("a", 3_600_000)]


def test_no_more_go_out_at_a_time_than_the_lane_is_wide_and_one_after_a_failure():
    lane = Lane(SCHEDULE)
    lane.push("a", due=0, at=0)
    lane.in_flight = WIDTH
    assert (popped(lane, 0), lane.next_at()) == ([], None)
    lane.failed(0, 0, lambda: 0.5)
    lane.in_flight = 1
    assert popped(lane, 0) == []


def test_after_5_failures_the_schedule_belongs_to_the_endpoint_until_somebody_asks():
    lane = Lane(SCHEDULE)
    lane.push("a", due=0, at=0)
    for _ in range(OPENS_AFTER):
        lane.failed(0, 0, lambda: 0.5)
    assert lane.is_open
    assert popped(lane, 4_999) == []
    lane.wake()
    assert popped(lane, 0) == [("a", 0)]
