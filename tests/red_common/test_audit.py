"""The tally of acts: nothing counted is lost or doubled, and a flood has few lines."""

from collections import Counter
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from red_common.audit import OTHERS, ROOM, Act, Tally

MOST = 1000

callers = st.one_of(
    st.integers(0, 300).map("address:10.0.0.{}".format), st.integers(0, 1200).map("key:{}".format)
)
acts = st.builds(
    Act,
    callers,
    st.sampled_from(["key_refused", "read_as", "rebuild"]),
    client_id=st.sampled_from([None, "anna"]),
    reason=st.sampled_from([None, "unknown", "revoked"]),
)
steps = st.lists(st.one_of(acts, st.just("take")), max_size=200)


def counted(steps, tally):
    """What each take gives, after `steps`: acts, each a second after the one before, and takes."""
    ids = count()
    taken = []
    for second, step in enumerate([*steps, "take"]):
        if step == "take":
            taken.append(tally.take(lambda: str(next(ids))))
        else:
            tally.count(step, float(second))
    return taken


@given(steps)
def test_whatever_the_takes_each_act_is_counted_once(steps):
    taken = counted(steps, Tally())

    given_ = Counter((step.act, step.reason) for step in steps if step != "take")
    found = Counter()
    for record in [record for take in taken for record in take]:
        found[record.act, record.reason] += record.count
    assert found == given_
    ids = [record.id for take in taken for record in take]
    assert len(set(ids)) == len(ids)


@given(steps)
def test_who_is_told_apart_is_named_with_all_that_it_did_in_between(steps):
    taken = counted(steps, Tally())

    [*before, last] = [index for index, step in enumerate([*steps, "take"]) if step == "take"]
    for start, end, records in zip([-1, *before], [*before, last], taken, strict=True):
        within = Counter(steps[start + 1 : end])
        for record in records:
            if record.who != OTHERS:
                act = Act(record.who, record.act, record.target, record.client_id, record.reason)
                assert record.count == within[act]
            assert record.at <= record.until


@given(st.lists(st.tuples(st.sampled_from(["address", "key"]), st.integers(1, 3000)), max_size=4))
def test_a_flood_has_at_most_a_thousand_lines_and_leaves_nothing_out(floods):
    tally = Tally()
    sent = 0
    for kind, size in floods:
        for number in range(size):
            tally.count(Act(f"{kind}:{number}", "key_refused", reason="unknown"), 0.0)
            sent += 1
    records = tally.take(str)

    assert len(records) <= MOST
    assert sum(record.count for record in records) == sent


def test_a_flood_of_strangers_hides_no_act_of_a_key():
    tally = Tally()
    for number in range(10 * MOST):
        tally.count(Act(f"address:{number}", "key_refused", reason="unknown"), 0.0)
    tally.count(Act("key:k", "read_as", "/v1/live", "anna"), 1.0)

    records = tally.take(lambda: "id")
    assert [record.who for record in records if record.act == "read_as"] == ["key:k"]
    assert [record.count for record in records if record.who == OTHERS] == [10 * MOST - ROOM["address"]]


def test_a_line_says_from_when_to_when_even_if_the_clock_is_set_back():
    tally = Tally()
    for now in (10.0, 3.0, 12.5):
        tally.count(Act("key:k", "rebuild"), now)

    [record] = tally.take(lambda: "id")
    assert (record.at, record.until, record.count) == (
        "1970-01-01T00:00:03.000Z", "1970-01-01T00:00:12.500Z", 3,
    )  # fmt: skip
    assert tally.take(lambda: "id") == []
