"""Buckets of time in a zone, beside the definition of a day, a week and a month."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from red_stats.domain.buckets import BUCKETS, DAY, HOUR, MINUTE, starts

ZONES = (
    "UTC", "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "America/Havana", "Asia/Kolkata",
    "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia", "Pacific/Chatham", "Africa/Monrovia",
    "Africa/Casablanca", "America/Scoresbysund", "Pacific/Kiritimati", "Antarctica/Troll",
)  # fmt: skip
ANY_TIME = st.integers(0, 4_102_444_800_000)  # 1970 to 2100


def ms(text):
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def local(at, zone):
    return datetime.fromtimestamp(at / 1000, ZoneInfo(zone))


def hours(start, end, bucket, zone):
    """The lengths of the buckets, in hours."""
    return [
        (b - a) / HOUR
        for a, b in pairwise([*starts(ms(start), ms(end), bucket, ZoneInfo(zone), 99), ms(end)])
    ]


def label(at, bucket, zone):
    """What calendar and clock say of an instant, down to the bucket it is in."""
    moment = local(at, zone)
    monday = (moment.date() - timedelta(days=moment.weekday())).isoformat()
    return {
        "minute": (moment.replace(second=0, microsecond=0).isoformat(),),
        "hour": (moment.strftime("%Y-%m-%dT%H%z"),),
        "day": (moment.date().isoformat(),),
        "week": (monday,),
        "month": (moment.year, moment.month),
    }[bucket]


@given(st.sampled_from(ZONES), st.sampled_from(list(BUCKETS)), ANY_TIME, st.integers(0, 400))
def test_each_bucket_is_the_instants_that_calendar_and_clock_call_by_one_name(zone, bucket, start, count):
    widths = {"minute": MINUTE, "hour": HOUR, "day": DAY, "week": 7 * DAY, "month": 30 * DAY}
    end = start + count * widths[bucket] // 7
    edges = [*starts(start, end, bucket, ZoneInfo(zone), 10_000), end]
    assert edges[0] == start
    for first, following in pairwise(edges):
        assert first < following
        names = {label(at, bucket, zone) for at in (first, (first + following) // 2, following - 1)}
        assert len(names) == 1
        assert following == end or label(following, bucket, zone) not in names


@given(
    st.sampled_from(ZONES),
    st.sampled_from(list(BUCKETS)),
    ANY_TIME,
    st.integers(1, 10**9),
    st.integers(0, 10**9),
)
def test_where_a_range_begins_moves_no_later_edge(zone, bucket, start, length, later):
    end = start + length
    whole = starts(start, end, bucket, ZoneInfo(zone), 50)
    part = starts(min(start + later, end), end, bucket, ZoneInfo(zone), 50)
    assert set(part[1:]) <= set(whole) or len(whole) == 50


@pytest.mark.parametrize(
    ("zone", "start", "end", "lengths"),
    [
        ("Europe/Berlin", "2026-03-28T00:00+01:00", "2026-03-31T00:00+02:00", [24, 23, 24]),
        ("Europe/Berlin", "2026-10-24T00:00+02:00", "2026-10-27T00:00+01:00", [24, 25, 24]),
        # midnight does not exist, then exists twice
        ("America/Sao_Paulo", "2017-10-14T00:00-03:00", "2017-10-17T00:00-02:00", [24, 23, 24]),
        ("America/Havana", "2026-10-31T00:00-04:00", "2026-11-03T00:00-05:00", [24, 25, 24]),
        # 30 December 2011 was left out
        ("Pacific/Apia", "2011-12-29T00:00-10:00", "2012-01-01T00:00+14:00", [24, 24]),
        ("Australia/Lord_Howe", "2026-04-05T00:00+11:00", "2026-04-06T00:00+10:30", [24.5]),
        ("Europe/Berlin", "2026-03-28T22:30+01:00", "2026-03-29T00:30+01:00", [1.5, 0.5]),
    ],
)
def test_days_are_those_of_the_zone(zone, start, end, lengths):
    assert hours(start, end, "day", zone) == lengths


def test_an_hour_that_comes_twice_is_two_buckets_and_one_that_is_left_out_is_none():
    twice = starts(
        ms("2026-10-25T00:00+00:00"), ms("2026-10-25T03:00+00:00"), "hour", ZoneInfo("Europe/Berlin"), 9
    )
    assert [local(at, "Europe/Berlin").hour for at in twice] == [2, 2, 3]
    none = starts(
        ms("2026-03-29T00:00+00:00"), ms("2026-03-29T03:00+00:00"), "hour", ZoneInfo("Europe/Berlin"), 9
    )
    assert [local(at, "Europe/Berlin").hour for at in none] == [1, 3, 4]


def test_weeks_begin_on_monday_and_months_on_their_first():
    weeks = starts(ms("2026-11-01T03:00Z"), ms("2026-11-20T00:00Z"), "week", UTC, 9)
    assert [local(at, "UTC").isoformat()[:16] for at in weeks] == [
        "2026-11-01T03:00", "2026-11-02T00:00", "2026-11-09T00:00", "2026-11-16T00:00",
    ]  # fmt: skip
    assert hours("2024-01-31T00:00Z", "2024-04-01T00:00Z", "month", "UTC") == [24, 29 * 24, 31 * 24]


def test_an_empty_range_has_no_bucket_and_a_long_one_as_many_as_are_asked_for():
    assert starts(5, 5, "day", UTC, 10) == []
    assert len(starts(0, 10**12, "minute", UTC, 10)) == 10


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Niue"])
def test_the_last_days_of_the_year_9999_have_buckets(zone):
    end = 253_402_300_799_999
    assert len(starts(end - 3 * DAY, end, "day", ZoneInfo(zone), 99)) == 4
