import pytest

from red_stats.domain.digests import Interval
from red_stats.tables.digests import Digests, alert_key, encode
from tests.builders import a_subscription_id, an_alert, next_end

ONE, TWO = a_subscription_id(1), a_subscription_id(2)


def an_interval(end, count=1, **fields):
    return Interval(client_id="c", end=end, count=count, first_seq=1, last_seq=count, **fields)


def holding(**rows):
    digests = Digests()
    for name, interval in rows.items():
        digests.load({"one": ONE, "two": TWO}[name].encode(), encode(interval))
    return digests


def test_what_is_due_is_what_waits_for_an_end_that_has_come():
    digests = holding(one=an_interval(100), two=an_interval(200))
    assert (next_end(digests), digests.due(99), digests.due(100), digests.due(200)) == (
        100, [], [ONE], [ONE, TWO],
    )  # fmt: skip
    digests.load(ONE.encode(), encode(an_interval(300, count=0)))
    assert (next_end(digests), digests.due(1000)) == (200, [TWO])
    digests.load(TWO.encode(), None)
    assert (next_end(digests), digests.due(1000)) == (None, [])


def test_what_is_postponed_waits_for_no_time():
    digests = holding(one=an_interval(100, postponed=True))
    assert (next_end(digests), digests.due(1000)) == (None, [])


def test_rows_are_read_as_they_were_written():
    digests = holding(one=an_interval(100))
    digests.load(alert_key(ONE, 1), an_alert(seq=1))
    again = Digests()
    for key, value in digests.encoded().items():
        again.load(key, value)
    assert (again, again.alerts) == (digests, digests.alerts)
    again.load(alert_key(ONE, 1), None)
    assert again.alerts == {}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (ONE.encode(), b"{}"),
        (ONE.encode(), b"x"),
        (f"{ONE}/x".encode(), an_alert()),
        (alert_key(ONE, 1), b"{}"),
    ],
)
def test_what_is_no_row_of_ours_changes_nothing(key, value):
    digests = Digests()
    with pytest.raises(ValueError, match=r"\S"):
        digests.load(key, value)
    assert (digests, digests.alerts) == ({}, {})
