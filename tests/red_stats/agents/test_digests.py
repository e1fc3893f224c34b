"""Which alerts go out together: every alert in exactly one webhook, whatever is cut, lost or changed."""

import json
from collections import Counter
from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from red_stats.agents.digests import Intervals
from red_stats.domain import intervals
from red_stats.domain.deliveries import encode
from red_stats.domain.delivery_kinds import of_alert
from red_stats.domain.digests import LISTED, ROOM
from red_stats.domain.intervals import Interval
from red_stats.tables.deliver import DeliverTables
from tests.builders import a_subscription, a_subscription_id, an_alert, next_end

NAME, CLIENT, START = a_subscription_id(), "client", 1_700_000_000_000


def a_row(seq, at, red=0.5, **fields):
    value = an_alert(subscription_id=NAME, seq=seq, prev_seq=seq - 1, red=red, position=f"0:{seq}", **fields)
    return of_alert(CLIENT.encode(), value, START + at)


class Deliver:
    """The table of digests as role deliver drives it; what was made stands in `sent`, in its order."""

    def __init__(self, min_interval=10, **fields):
        self.tables, self.sent = DeliverTables(), []
        self.subscription = a_subscription(id=NAME, min_interval=min_interval, **fields)

    def find(self, client_id, subscription_id):
        return self.subscription if client_id == CLIENT else None

    def change(self, **fields):
        self.subscription = a_subscription(id=NAME, version=2, **fields)

    def transact(self, step, *, committed=True):
        """What a step decides, in one transaction; one that is not committed changes nothing."""
        changes = Intervals(self.tables, self.find)
        made = [row for row in step(changes) if row is not None]
        if committed:
            self.tables.digests.apply(changes.records("digests"))
            self.sent += made
        return changes, made

    def fold(self, rows, **options):
        return self.transact(lambda changes: [made for row in rows for made in changes.take(row)], **options)

    def tick(self, at, **options):
        digests = self.tables.digests
        due = digests.due(START + at)
        return self.transact(lambda changes: [changes.close(n, digests[n].end) for n in due], **options)

    @property
    def told(self):
        """(seconds after START when it fell due, first and last `seq`) of each webhook."""
        return [((row.due - START) / 1000, row.first_seq, row.last_seq) for row in self.sent]


def test_the_first_goes_out_at_once_and_what_comes_within_the_interval_goes_out_at_its_end():
    deliver = Deliver(10)
    deliver.fold([a_row(1, 0), a_row(2, 3_000), a_row(3, 9_999)])
    assert deliver.told == [(0, 1, 1)]
    deliver.tick(9_999)
    assert deliver.told == [(0, 1, 1)]
    deliver.tick(10_000)
    assert deliver.told == [(0, 1, 1), (10, 2, 3)]
    deliver.tick(50_000)  # none came: the next one goes out at once
    deliver.fold([a_row(4, 60_000), a_row(5, 60_001)])
    deliver.tick(70_000)
    assert deliver.told[2:] == [(60, 4, 4), (70, 5, 5)]


def test_a_digest_says_what_is_in_it_and_lists_the_first_hundred():
    deliver = Deliver(10)
    reds = [0.3, 0.9, 0.4] * 50
    deliver.fold([a_row(1, 0)])
    deliver.fold([a_row(n, 1000 + n, red) for n, red in enumerate(reds, 2)])
    deliver.tick(10_000)
    digest = deliver.sent[-1]
    body = json.loads(digest.body)
    assert (body["type"], body["timestamp"]) == ("red.digest", body["data"]["to"])
    told = body["data"]
    assert (told["count"], told["first_seq"], told["last_seq"], told["max_red"]) == (150, 2, 151, 0.9)
    assert [alert["seq"] for alert in told["alerts"]] == list(range(2, 2 + LISTED))
    assert told["alerts"][0] == json.loads(a_row(2, 0, 0.3).data) | {"id": told["alerts"][0]["id"]} | {
        "image_id": told["alerts"][0]["image_id"]
    }
    assert (digest.first_seq, digest.last_seq, digest.count, digest.alert_id) == (2, 151, 150, "")
    assert deliver.tables.digests.alerts == {}


def test_a_digest_of_one_alert_is_a_digest():
    deliver = Deliver(10)
    deliver.fold([a_row(1, 0), a_row(2, 1)])
    deliver.tick(10_000)
    assert [(row.type, row.count) for row in deliver.sent] == [("red.alert", 1), ("red.digest", 1)]


def test_a_digest_that_fell_due_while_nobody_looked_goes_out_late_and_unchanged():
    deliver = Deliver(10)
    deliver.fold([a_row(1, 0), a_row(2, 5_000)])
    deliver.fold([a_row(3, 99_000), a_row(4, 99_500)])
    assert deliver.told == [(0, 1, 1), (10, 2, 2), (99, 3, 3)]


def test_a_changed_interval_holds_from_the_next_webhook_on():
    deliver = Deliver(10)
    deliver.fold([a_row(1, 0), a_row(2, 1_000)])
    deliver.change(min_interval=60)
    deliver.fold([a_row(3, 9_000), a_row(4, 11_000), a_row(5, 69_000)])
    deliver.change(min_interval=0)
    deliver.tick(70_000)
    deliver.fold([a_row(6, 70_001), a_row(7, 70_002)])
    assert deliver.told == [(0, 1, 1), (10, 2, 3), (70, 4, 5), (70.001, 6, 6), (70.002, 7, 7)]
    assert deliver.tables.digests == {}


def test_what_waits_for_a_disabled_subscription_goes_out_as_one_digest_when_it_is_enabled():
    deliver = Deliver(10)
    deliver.fold([a_row(1, 0), a_row(2, 1_000)])
    deliver.change(min_interval=10, enabled=False)
    deliver.tick(10_000)
    deliver.fold([a_row(3, 40_000)])  # by a version that was in force before
    deliver.tick(60_000)
    assert deliver.told == [(0, 1, 1)]
    deliver.change(min_interval=10)
    deliver.transact(lambda changes: [changes.go_on(NAME, START + 70_000)])
    deliver.fold([a_row(4, 75_000)])
    deliver.tick(80_000)
    assert deliver.told == [(0, 1, 1), (70, 2, 3), (80, 4, 4)]


def test_what_waits_for_a_deleted_subscription_becomes_one_digest_and_nothing_is_left():
    deliver = Deliver(10)
    deliver.fold([a_row(1, 0), a_row(2, 1_000), a_row(3, 2_000)])
    deliver.subscription = None
    deliver.transact(lambda changes: [changes.end(NAME, START + 3_000)])
    assert deliver.told[1:] == [(3, 2, 3)]
    assert deliver.tables.digests.encoded() == {}


def test_while_too_much_of_an_endpoint_waits_one_digest_grows_instead_of_many():
    deliver = Deliver(1)
    waiting = msgspec.structs.replace(a_row(99, 0), data=" " * ROOM)
    deliver.tables.pending.put("big", waiting)
    deliver.fold([a_row(1, 0), *(a_row(n, n * 600) for n in range(2, 40))])
    assert deliver.told == [(0, 1, 1), (1.2, 2, 2)]
    deliver.tables.pending.put("big", None)
    deliver.transact(lambda changes: [changes.go_on(NAME, START + 60_000)])
    assert deliver.told[2:] == [(60, 3, 39)]


class Looked(dict):
    """Rows that count how often all of them are looked at."""

    times = 0

    def values(self):
        self.times += 1
        return super().values()


def test_what_an_endpoint_has_waiting_is_summed_up_once_however_many_alerts_a_batch_has():
    deliver = Deliver(1)
    waiting = msgspec.structs.replace(a_row(99, 0), data=" " * ROOM)
    deliver.tables.pending.put("big", waiting)
    rows = deliver.tables.pending.of[NAME] = Looked(big=waiting)
    deliver.fold([a_row(n, n * 600) for n in range(1, 40)])
    assert (deliver.told, rows.times) == ([(0.6, 1, 1)], 1)


def test_a_post_may_begin_before_the_commit_only_if_a_second_try_would_send_the_same():
    deliver = Deliver(1)
    changes, made = deliver.fold([a_row(1, 0), a_row(2, 5_000)], committed=False)
    assert [row.id in changes.certain for row in made] == [True, False]
    deliver.change(min_interval=60)
    _, again = deliver.fold([a_row(1, 0), a_row(2, 5_000)])
    assert [row.first_seq for row in again] == [1]


def test_no_post_begins_before_the_commit_of_an_alert_that_a_second_try_would_put_into_a_digest():
    deliver = Deliver(0)
    rows = [a_row(1, 0), a_row(2, 1), a_row(3, 2)]
    changes, _ = deliver.fold(rows, committed=False)
    deliver.change(min_interval=60)
    _, again = deliver.fold(rows)
    assert changes.certain == {row.id for row in again} == {rows[0].id}


def test_an_alert_under_the_id_of_another_clients_subscription_is_in_no_digest_of_that_one():
    deliver = Deliver(10)
    deliver.fold([a_row(1, 0), a_row(2, 1_000)])
    foreign = msgspec.structs.replace(a_row(3, 2_000), client_id="other")
    deliver.fold([foreign])
    deliver.tick(10_000)
    assert deliver.told == [(0, 1, 1), (2, 3, 3), (10, 2, 2)]
    assert deliver.tables.digests[NAME].client_id == CLIENT


def test_alerts_that_others_wrote_at_length_make_no_digest_that_kafka_refuses():
    deliver = Deliver(10)
    long = {"measured_at": f"2026-01-01T00:00:00.{'0' * 60_000}Z", "image_id": "\0" * 200}
    deliver.fold([a_row(1, 0), *(a_row(n, n, **long) for n in range(2, 300))])
    deliver.tick(10_000)
    assert len(encode(deliver.sent[-1])) < ROOM // 2
    assert json.loads(deliver.sent[-1].data)["alerts"][0]["measured_at"] == "2026-01-01T00:00:00.000Z"


def test_alerts_wait_for_no_longer_than_before_when_kafkas_clock_is_set_back():
    hour = 3_600_000
    deliver = Deliver(10)
    deliver.fold([a_row(1, hour), a_row(2, hour + 1), a_row(3, 5_000), a_row(4, 6_000)])
    assert next_end(deliver.tables.digests) == START + 15_000
    deliver.tick(15_000)
    deliver.fold([a_row(5, 16_000)])
    deliver.tick(25_000)
    assert deliver.told == [(3600, 1, 1), (15, 2, 4), (25, 5, 5)]


def test_an_interval_for_which_nothing_waits_ends_too_when_kafkas_clock_is_set_back():
    deliver = Deliver(10)
    deliver.fold([a_row(1, 3_600_000), a_row(2, 0)])
    deliver.tick(10_000)
    assert deliver.told == [(3600, 1, 1), (10, 2, 2)]


def test_a_clock_of_kafka_that_is_a_little_behind_moves_no_interval():
    deliver = Deliver(10)
    deliver.fold([a_row(1, 0), a_row(2, 5_000)])
    deliver.tick(10_000)
    deliver.fold([a_row(3, 9_800), a_row(4, 1_000)])
    deliver.tick(20_000)
    assert deliver.told == [(0, 1, 1), (10, 2, 2), (20, 3, 4)]


gaps = st.lists(st.integers(0, 4_000), max_size=40)


@given(gaps, st.integers(1, 6), st.integers(1, 41), st.data())
def test_webhooks_are_those_of_the_rule_and_every_alert_is_in_exactly_one(gaps, seconds, cut, data):
    at = np.cumsum(np.array(gaps, np.int64)).tolist()
    deliver = Deliver(seconds)
    rows = [a_row(seq, moment) for seq, moment in enumerate(at, 1)]
    for start in range(0, len(rows), cut):
        some = rows[start : start + cut]
        if data.draw(st.booleans()):  # killed before the commit
            deliver.fold(some, committed=False)
        deliver.fold(some)
        if data.draw(st.booleans()):  # the timer, as late as nothing that comes belongs before it
            following = at[start + cut] if start + cut < len(at) else at[-1]
            if data.draw(st.booleans()):
                deliver.tick(following, committed=False)
            deliver.tick(following)
    end = at[-1] if at else 0
    deliver.tick(end + 6_000)

    sent, running = intervals.sent(np.array(at, np.int64), seconds * 1000, Interval())
    last = intervals.at_the_end(running)
    due = [*sent.at.tolist(), *last.at.tolist()]
    assert [row.due - START for row in deliver.sent] == due
    assert [row.count for row in deliver.sent] == [*sent.alerts.tolist(), *last.alerts.tolist()]
    numbers = Counter(n for row in deliver.sent for n in range(row.first_seq, row.last_seq + 1))
    assert numbers == Counter(range(1, len(at) + 1))
    assert all(b - a >= seconds * 1000 for a, b in pairwise(due))
    assert len({row.webhook_id for row in deliver.sent}) == len(deliver.sent)


steps = st.one_of(
    st.tuples(st.just("alert"), st.integers(0, 3_000)),
    st.tuples(st.just("tick"), st.integers(0, 3_000)),
    st.tuples(st.just("change"), st.sampled_from([0, 1, 2, 5])),
    st.tuples(st.just("disable"), st.none()),
    st.tuples(st.just("enable"), st.none()),
)


@given(st.lists(st.tuples(steps, st.booleans()), max_size=40))
def test_no_alert_is_in_two_webhooks_or_in_none_whatever_changes_and_crashes(program):
    deliver, now, seq, interval, enabled = Deliver(2), 0, 0, 2, True
    for (what, value), crashes in program:
        if what in ("alert", "tick"):
            now += value
        if what == "alert":
            seq += 1
            if crashes:
                deliver.fold([a_row(seq, now)], committed=False)
            deliver.fold([a_row(seq, now)])
        elif what == "tick":
            deliver.tick(now, committed=not crashes)
        else:
            interval = value if what == "change" else interval
            enabled = {"enable": True, "disable": False}.get(what, enabled)
            deliver.change(min_interval=interval, enabled=enabled)
            deliver.transact(lambda changes, at=now: [changes.go_on(NAME, START + at)], committed=not crashes)
        fresh = DeliverTables()
        for key, row in deliver.tables.digests.encoded().items():
            fresh.digests.load(key, row)
        assert fresh.digests == deliver.tables.digests
        assert fresh.digests.alerts == deliver.tables.digests.alerts
        deliver.tables = fresh  # as after a kill
    deliver.change(min_interval=interval)
    deliver.transact(lambda changes: [changes.go_on(NAME, START + now)])
    deliver.tick(now + 10_000)
    found = [n for row in deliver.sent for n in range(row.first_seq, row.last_seq + 1)]
    assert found == list(range(1, seq + 1))


@pytest.mark.parametrize("seconds", [0, 5])
def test_an_alert_of_a_subscription_without_an_interval_leaves_nothing_behind(seconds):
    deliver = Deliver(0)
    deliver.fold([a_row(1, 0), a_row(2, seconds)])
    assert (deliver.told, deliver.tables.digests) == ([(0, 1, 1), (seconds / 1000, 2, 2)], {})
