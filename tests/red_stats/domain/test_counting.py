from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from red_stats.domain import windows
from red_stats.domain.alerts import AlertSequence, alert_id, uuid5
from red_stats.domain.counting import fold
from red_stats.domain.measurement_columns import to_measurement_columns
from red_stats.domain.measurements import BatchReader
from red_stats.domain.subscriptions import ThresholdVersion
from red_stats.domain.windows import EMPTY, Window, add, bins_of
from tests.builders import NOW, a_client_of, a_subscription_id, measured

CLIENT = a_client_of(3)
HOUR = 3_600_000
SUBSCRIPTION = a_subscription_id()


def folded(records, judges=(), state=None, seq=None, horizon=0):
    readings, dead = BatchReader(3, 4).read_all(records, -1)
    assert not dead
    return fold(
        to_measurement_columns(readings),
        partition=3,
        key_of=lambda client, minute: (client, minute),
        window_of=lambda key: (state or {}).get(key, EMPTY),
        versions_of=lambda client: judges,
        sequence_of=seq or {},
        horizon=horizon,
        retention_ms=25 * HOUR,
    )


def judge(threshold_bp=2500, since=0, until=None, subscription=SUBSCRIPTION, max_age=None):
    return ThresholdVersion(subscription, 1, threshold_bp, since, until, max_age)


def test_an_image_at_the_threshold_is_not_over():
    at, over = measured(CLIENT, 0.25, 0), measured(CLIENT, 0.2501, 1)

    assert [a.event.seq for a in folded([at], [judge()]).alerts] == []
    assert [a.event.seq for a in folded([over], [judge()]).alerts] == [1]


def test_a_version_judges_exactly_its_range_of_offsets():
    records = [measured(CLIENT, 1.0, offset) for offset in range(10)]

    alerts = folded(records, [judge(since=3, until=7)]).alerts

    assert [a.value for a in alerts] == [a.value for a in folded(records[3:7], [judge()]).alerts]
    assert len(alerts) == 4


def test_seq_goes_on_from_where_the_subscription_was():
    alerts = folded(
        [measured(CLIENT, 1, n) for n in range(3)], [judge()], seq={SUBSCRIPTION: AlertSequence(41)}
    )

    assert [a.event.seq for a in alerts.alerts] == [42, 43, 44]
    assert alerts.sequences == {SUBSCRIPTION: AlertSequence(44)}


def test_a_measurement_older_than_the_retention_at_its_kafka_time_opens_no_window_but_alerts():
    late = measured(CLIENT, 1.0, 0, at=NOW - 26 * HOUR, logged_at=NOW)

    result = folded([late], [judge()])

    assert (result.windows, result.too_late, len(result.alerts)) == ({}, 1, 1)


@given(
    st.lists(st.tuples(st.integers(0, 200), st.sampled_from([0.1, 0.3, 0.9])), min_size=1, max_size=30),
    st.one_of(st.none(), st.integers(1, 200)),
)
def test_an_image_older_than_max_age_at_its_kafka_time_raises_no_alert_and_is_counted(images, max_age):
    records = [
        measured(CLIENT, red, offset, at=NOW - 1000 * age, logged_at=NOW)
        for offset, (age, red) in enumerate(images)
    ]
    result = folded(records, [judge(max_age=max_age), judge(8000, subscription=a_subscription_id(2))])
    alerts = [a.event.position for a in result.alerts if a.event.subscription_id == SUBSCRIPTION]
    young = [max_age is None or age <= max_age for age, _ in images]
    expected = [f"3:{n}" for n, (_, red) in enumerate(images) if red > 0.25 and young[n]]
    assert alerts == expected
    over = sum(window.subscriptions[SUBSCRIPTION][1] for window in result.windows.values())
    assert over == sum(red > 0.25 for _, red in images)


def test_a_clock_set_back_reopens_no_expired_window():
    old = measured(CLIENT, 0.5, 0, at=NOW - 26 * HOUR, logged_at=NOW - 26 * HOUR)

    assert folded([old], horizon=NOW).windows == {}


def test_alert_ids_are_uuid5_of_subscription_and_position():
    import uuid

    expected = str(uuid.uuid5(uuid.UUID(SUBSCRIPTION), "3:17"))

    assert alert_id(SUBSCRIPTION, "3:17") == expected
    assert uuid5(uuid.UUID(SUBSCRIPTION).bytes, "3:17") == expected


reds = st.integers(0, 10000)


@given(st.lists(st.tuples(reds, st.integers(0, 5)), max_size=300), st.integers(1, 300))
def test_batches_cut_anywhere_give_the_same_windows_and_alerts(images, cut):
    records = [
        measured(CLIENT, bp / 10000, n, at=NOW + minute * 60_000, logged_at=NOW + HOUR)
        for n, (bp, minute) in enumerate(images)
    ]
    whole = folded(records, [judge()])
    state, seq, alerts = {}, {}, []
    for start in range(0, len(records), cut):
        part = folded(records[start : start + cut], [judge()], state, seq)
        state |= part.windows
        seq |= part.sequences
        alerts += part.alerts

    assert state == whole.windows
    assert alerts == whole.alerts
    assert sum(w.images for w in state.values()) == len(images)


@given(st.lists(reds, max_size=400))
def test_a_window_counts_every_image_in_its_bin_small_or_large(values):
    window = EMPTY
    for start in range(0, len(values), 37):
        some = values[start : start + 37]
        window = add(window, bins_of(np.array(some, np.uint16)), sum(some), {})

    expected = Counter(min(bp // 100, 99) for bp in values)
    assert windows.histogram([window]) == [expected[n] for n in range(100)]
    assert (window.images, window.red_sum) == (len(values), sum(values))
    assert windows.decode(windows.encode(window)) == window


def test_tallies_of_subscriptions_add_up():
    window = add(Window(1, 5, b"\x00", {"s": (1, 0)}), b"\x5a", 9000, {"s": (1, 1)})

    assert window.subscriptions == {"s": (2, 1)}
