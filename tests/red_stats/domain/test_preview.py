from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from red_stats.domain.preview import DAY, HOUR, Images, Span, preview, threshold_for
from red_stats.domain.triggers import HIGHEST, Trigger, raising

START = 20_000 * DAY + 5 * HOUR
END = START + 3 * DAY + 77
OVER_2 = Trigger(2)
image = st.tuples(st.sampled_from([0, 1, 2, 3, 5000, HIGHEST]), st.integers(START, END - 1))
loads = st.lists(image, max_size=60)
back = st.one_of(st.none(), st.integers(0, 2))


def images_of(load):
    return Images(
        np.arange(len(load)),
        np.array([red for red, _ in load], np.uint16),
        np.array([at for _, at in load], np.int64),
    )


def seen(load, trigger=OVER_2, interval_ms=0, start=START, end=END):
    return preview(images_of(load), Span(start, end), trigger, interval_ms)


@given(loads, st.sampled_from([OVER_2, Trigger(2, 2), Trigger(2, 0), Trigger(0)]), st.integers(0, DAY))
def test_days_are_all_days_of_the_range_and_add_up(load, trigger, interval_ms):
    found = seen(load, trigger, interval_ms)

    assert [day.start for day in found.days] == [START] + [(20_001 + n) * DAY for n in range(3)]
    for name in ("images", "alerts", "webhooks"):
        assert sum(getattr(day, name) for day in found.days) == getattr(found, name)
    assert found.images == len(load)
    assert found.webhooks <= found.alerts
    per_day = Counter(at // DAY for _, at in load)
    assert [day.images for day in found.days] == [per_day[20_000 + n] for n in range(4)]


@given(loads)
def test_the_busiest_hours_are_those_with_most_alerts(load):
    found = seen(load).busiest_hours

    alerts = Counter(at // HOUR for red, at in load if red > 2)
    images = Counter(at // HOUR for _, at in load)
    expected = sorted(alerts, key=lambda hour: (-alerts[hour], hour))[:10]
    assert [tuple(hour) for hour in found] == [
        (max(START, hour * HOUR), images[hour], alerts[hour]) for hour in expected
    ]


@given(loads)
def test_samples_are_alerts_in_order_from_the_first_to_the_last(load):
    rows = raising(images_of(load).red_bp, OVER_2)[0].tolist()

    samples = seen(load).samples

    assert samples == sorted(set(samples))
    assert set(samples) <= set(rows)
    assert len(samples) == min(10, len(rows))
    assert samples[:1] + samples[-1:] == rows[:1] + rows[-1:]


@pytest.mark.parametrize("end", [END, 20_003 * DAY])
def test_a_webhook_that_falls_due_behind_the_range_counts_in_its_last_day(end):
    load = [(HIGHEST, end - 2), (HIGHEST, end - 1)]

    found = seen(load, interval_ms=DAY, end=end)

    assert (found.webhooks, found.days[-1].webhooks) == (2, 2)


@pytest.mark.parametrize(
    ("start", "end", "days"),
    [
        (DAY, DAY, 0), (DAY, DAY + 1, 1), (DAY - 1, DAY, 1), (DAY - 1, DAY + 1, 2),
        (DAY, 2 * DAY, 1), (5, 5, 0),
    ],
)  # fmt: skip
def test_a_range_touches_so_many_days(start, end, days):
    assert Span(start, end).days == days
    assert len(seen([], start=start, end=end).days) == days


@given(
    loads,
    st.booleans(),
    back,
    st.one_of(st.integers(0, 9), st.fractions(0, 9, max_denominator=100)),
    st.sampled_from([END, START + 1, START + DAY]),
)
def test_the_threshold_for_a_target_is_the_smallest_that_meets_it(load, crossing, back, target, end):
    back = back if crossing else None
    load = [(red, at) for red, at in load if at < end]
    images, days = images_of(load), Fraction(end - START, DAY)

    found = threshold_for(images, Span(START, end), Fraction(target), crossing=crossing, rearm_below=back)

    def alerts(threshold):
        again = (threshold if back is None else back) if crossing else None
        return len(raising(images.red_bp, Trigger(threshold, again))[0])

    assert alerts(found) <= target * days
    candidates = {red + step for red, _ in load for step in (-1, 0, 1)} | {0, back or 0}
    for threshold in candidates:  # the number of alerts changes at no other
        if (back or 0) <= threshold < found:
            assert alerts(threshold) > target * days, threshold
