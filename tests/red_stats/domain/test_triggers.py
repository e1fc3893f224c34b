import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from red_stats.domain.alerts import AlertSequence
from red_stats.domain.counting import fold
from red_stats.domain.measurement_columns import to_measurement_columns
from red_stats.domain.measurements import BatchReader
from red_stats.domain.subscriptions import ThresholdVersion
from red_stats.domain.triggers import HIGHEST, Trigger, alerts_by_threshold, raising
from red_stats.domain.windows import EMPTY
from tests.builders import NOW, a_client_of, a_subscription_id, measured

CLIENT, OTHER = a_client_of(3), a_client_of(3, prefix="other")
SUBSCRIPTION = a_subscription_id()
# few amounts beside each other, so that equal ones and those at a threshold are often met
amounts = st.lists(st.one_of(st.integers(0, 6), st.sampled_from([2500, 2501, 9999, HIGHEST])), max_size=60)
triggers = st.one_of(
    st.integers(0, 7).map(Trigger),
    st.integers(0, 7).flatmap(lambda t: st.integers(0, t).map(lambda back: Trigger(t, back))),
)


def simulated(reds, trigger, armed=True):
    """One image after the other, in the words of the contract."""
    rows = []
    for row, red in enumerate(reds):
        if red > trigger.threshold and (armed or trigger.rearm_below is None):
            rows.append(row)
            armed = False
        if trigger.rearm_below is not None and red <= trigger.rearm_below:
            armed = True
    return rows


def rows_of(reds, trigger):
    return raising(np.array(reds, np.uint16), trigger)[0].tolist()


def test_a_crossing_raises_once_until_an_image_arms_it_again():
    reds = [10, 60, 70, 50, 60, 30, 31, 51, 20, 50, 51]

    assert rows_of(reds, Trigger(50)) == [1, 2, 4, 7, 10]
    assert rows_of(reds, Trigger(50, 50)) == [1, 4, 7, 10]
    assert rows_of(reds, Trigger(50, 30)) == [1, 7, 10]
    assert rows_of(reds, Trigger(50, 10)) == [1]


@given(amounts, triggers)
def test_what_raises_is_what_happens_one_image_after_the_other(reds, trigger):
    assert rows_of(reds, trigger) == simulated(reds, trigger)


@given(amounts, triggers, st.integers(1, 60))
def test_images_cut_anywhere_raise_the_same(reds, trigger, cut):
    found, armed = [], True
    for start in range(0, len(reds), cut):
        rows, armed = raising(np.array(reds[start : start + cut], np.uint16), trigger, armed)
        found += [start + row for row in rows.tolist()]

    assert found == rows_of(reds, trigger)


@given(amounts, st.booleans(), st.one_of(st.none(), st.integers(0, 7)))
def test_the_alerts_of_every_threshold_are_those_of_each_alone(reds, crossing, rearm_below):
    rearm_below = rearm_below if crossing else None
    many = alerts_by_threshold(np.array(reds, np.uint16), crossing=crossing, rearm_below=rearm_below)

    assert len(many) == HIGHEST + 1
    for threshold in (*range(rearm_below or 0, 9), 2499, 2500, 2501, 9998, 9999, HIGHEST):
        back = (threshold if rearm_below is None else rearm_below) if crossing else None
        assert many[threshold] == len(simulated(reds, Trigger(threshold, back))), threshold


def live(records, versions, cut):
    """The (offset, version) of every alert that live raises over batches of `cut` records, and its rows."""
    readings, _ = BatchReader(3, 4).read_all(records, -1)
    raised, sequences = [], {}
    for start in range(0, len(readings), cut):
        folded = fold(
            to_measurement_columns(readings[start : start + cut]),
            partition=3,
            key_of=lambda client, minute: (client, minute),
            window_of=lambda _: EMPTY,
            versions_of=lambda client: versions if client == CLIENT else (),
            sequence_of=sequences,
            horizon=0,
            retention_ms=NOW,
        )
        sequences |= folded.sequences
        events = [alert.event for alert in folded.alerts]
        raised += [(int(event.position.partition(":")[2]), event.version) for event in events]
    assert sum(sequence.seq for sequence in sequences.values()) == len(raised)
    return raised, sequences


@st.composite
def chains(draw):
    """The versions of one subscription, one after the other, with gaps where it raised nothing."""
    versions, since = [], 0
    for number in range(1, draw(st.integers(1, 4)) + 1):
        since += draw(st.integers(0, 4))
        until = since + draw(st.integers(1, 25))
        trigger, max_age = draw(triggers), draw(st.sampled_from([None, None, 5]))
        versions.append(
            ThresholdVersion(
                SUBSCRIPTION, number, trigger.threshold, since, until, max_age, trigger.rearm_below
            )
        )
        since = until
    if draw(st.booleans()):
        versions[-1] = versions[-1]._replace(until=None)
    return versions


@given(amounts, chains(), st.integers(1, 60), st.data())
def test_live_raises_what_each_version_says_of_the_images_it_judges_in_any_batches(reds, chain, cut, data):
    many = st.lists(st.booleans(), min_size=len(reds), max_size=len(reds))
    own, old = data.draw(many), data.draw(many)
    clients = [CLIENT if mine else OTHER for mine in own]
    records = [
        measured(client, red / HIGHEST, offset, at=NOW - 6000 * late, logged_at=NOW)
        for offset, (client, red, late) in enumerate(zip(clients, reds, old, strict=True))
    ]
    expected = []
    for version in chain:
        judged = [
            offset
            for offset in range(len(reds))
            if own[offset] and version.covers(offset) and not (version.max_age and old[offset])
        ]
        trigger = Trigger(version.threshold_bp, version.rearm_below)
        rows = simulated([reds[offset] for offset in judged], trigger)
        expected += [(judged[row], version.version) for row in rows]

    raised, sequences = live(records, chain, cut)

    assert raised == expected
    assert sequences == live(records, chain, 1)[1]  # where a batch ends changes nothing


def test_every_version_starts_armed_whatever_the_one_before_left():
    records = [measured(CLIENT, 0.9, offset) for offset in range(6)]
    chain = [
        ThresholdVersion(SUBSCRIPTION, number, 5000, 2 * number - 2, 2 * number, None, 5000)
        for number in (1, 2)
    ]
    again = ThresholdVersion(SUBSCRIPTION, 1, 5000, 4, None, None, 5000)  # deleted, and made again

    assert live(records, [*chain, again], 6)[0] == [(0, 1), (2, 2), (4, 1)]


def test_an_image_over_the_threshold_counts_as_over_whether_it_raises_an_alert_or_not():
    records = [measured(CLIENT, red, offset) for offset, red in enumerate([0.9, 0.8, 0.1, 0.7])]
    readings, _ = BatchReader(3, 4).read_all(records, -1)
    folded = fold(
        to_measurement_columns(readings),
        partition=3,
        key_of=lambda client, minute: (client, minute),
        window_of=lambda _: EMPTY,
        versions_of=lambda _: [ThresholdVersion(SUBSCRIPTION, 1, 5000, 0, None, None, 2000)],
        sequence_of={},
        horizon=0,
        retention_ms=NOW,
    )
    [window] = folded.windows.values()
    assert window.subscriptions == {SUBSCRIPTION: (4, 3)}
    assert folded.sequences == {SUBSCRIPTION: AlertSequence(2, disarmed_at=3)}
