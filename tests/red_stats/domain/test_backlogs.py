"""How many rows endpoints and clients may have, whoever comes first."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from red_stats.domain.backlogs import Backlog, Limits, extended, is_worth_reading, room, shortened

LIMITS = Limits(endpoint=20, own=2, shared=50)
moves = st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=400)


@given(moves)
def test_no_endpoint_and_no_client_has_more_rows_than_its_limit_and_none_is_without_its_own(moves):
    rows = Counter()
    for endpoint, is_new in moves:
        if not is_new:
            rows[endpoint] = max(0, rows[endpoint] - 1)
        elif room(rows[endpoint], rows.total(), LIMITS):
            rows[endpoint] += 1
        else:
            assert rows[endpoint] >= LIMITS.own
        assert rows[endpoint] <= LIMITS.endpoint
        assert rows.total() <= LIMITS.shared + 10 * LIMITS.own


@given(st.integers(0, 30), st.integers(0, 80))
def test_what_is_worth_reading_has_room_and_an_endpoint_without_rows_is_always_worth_it(of_endpoint, others):
    of_client = of_endpoint + others
    if is_worth_reading(of_endpoint, of_client, LIMITS):
        assert room(of_endpoint, of_client, LIMITS) > 0
    assert is_worth_reading(0, others, LIMITS)


@given(st.lists(st.integers(0, 10**6), min_size=1, unique=True).map(sorted), st.data())
def test_a_backlog_holds_what_joined_it_less_what_was_taken_from_its_beginning(offsets, data):
    backlog = None
    for offset in offsets:
        backlog = extended(backlog, "c", offset)
    assert backlog == Backlog(client_id="c", first=offsets[0], last=offsets[-1], alerts=len(offsets))
    taken = data.draw(st.integers(0, len(offsets)))
    upto = offsets[taken] if taken < len(offsets) else offsets[-1] + 1

    left = shortened(backlog, upto, taken)

    if taken == len(offsets):
        assert left is None
    else:
        assert (left.first, left.last, left.alerts) == (upto, offsets[-1], len(offsets) - taken)
