from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from red_stats.domain.intervals import Interval, at_the_end, sent

times = st.lists(st.integers(0, 40), max_size=40)


def webhooks_of(at, interval, cut=None):
    """Time and alerts of every webhook, of alerts that came in pieces."""
    found, running = [], Interval()
    step = cut or len(at) or 1
    for start in range(0, len(at), step):
        went, running = sent(np.array(at[start : start + step], np.int64), interval, running)
        found += zip(went.at.tolist(), went.alerts.tolist(), strict=True)
    last = at_the_end(running)
    return found + list(zip(last.at.tolist(), last.alerts.tolist(), strict=True))


def simulated(at, interval):
    """A clock that passes every millisecond, and a webhook whenever it may go."""
    now_of = np.maximum.accumulate(np.array(at, np.int64)).tolist() if at else []
    found, waiting, free_from = [], 0, 0
    for now in range(0, 40 + 41 * interval + 1):
        if now == free_from and waiting:
            found.append((now, waiting))
            waiting, free_from = 0, now + interval
        for _ in range(now_of.count(now)):
            if now < free_from:
                waiting += 1
            else:
                found.append((now, 1))
                free_from = now + interval
    return found


def test_the_first_goes_at_once_and_the_others_together_at_the_end():
    assert webhooks_of([100, 101, 109], 10) == [(100, 1), (110, 2)]


def test_an_alert_at_the_end_of_an_interval_belongs_to_the_next():
    assert webhooks_of([100, 110], 10) == [(100, 1), (110, 1)]
    assert webhooks_of([100, 105, 110, 119, 120], 10) == [(100, 1), (110, 1), (120, 2), (130, 1)]


def test_after_an_interval_without_alerts_the_next_goes_at_once():
    assert webhooks_of([100, 105, 121], 10) == [(100, 1), (110, 1), (121, 1)]
    assert webhooks_of([100, 105, 120], 10) == [(100, 1), (110, 1), (120, 1)]


def test_time_that_goes_back_makes_no_webhook_earlier_than_the_one_before():
    assert webhooks_of([100, 40, 109, 108], 10) == [(100, 1), (110, 3)]


def test_without_an_interval_every_alert_goes_out_at_its_time():
    assert webhooks_of([100, 40, 100], 0) == [(100, 1), (40, 1), (100, 1)]


@given(times, st.integers(1, 12))
def test_webhooks_go_as_a_clock_would_send_them(at, interval):
    assert webhooks_of(at, interval) == simulated(at, interval)


@given(times, st.integers(0, 12), st.integers(1, 40))
def test_alerts_cut_anywhere_make_the_same_webhooks_and_each_is_in_one(at, interval, cut):
    whole = webhooks_of(at, interval)

    assert webhooks_of(at, interval, cut) == whole
    assert sum(alerts for _, alerts in whole) == len(at)
    if interval:
        assert all(later - one >= interval for (one, _), (later, _) in pairwise(whole))
