"""A client that is erased: which of its records count, and that this follows from the log alone."""

from collections import Counter

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from red_stats import topics
from red_stats.agents.commands import _CommandBatch, _to_be_erased
from red_stats.domain.erasure import NEVER, Erased
from red_stats.domain.measurement_columns import to_measurement_columns
from red_stats.domain.measurements import BatchReader
from red_stats.domain.subscriptions import encode
from red_stats.domain.version_history import History
from red_stats.replay.expected_state import ExpectedState
from red_stats.tables.declarations import changelogs_of
from red_stats.tables.live import LiveTables
from red_stats.tables.measured_change import fold_measurements
from tests.builders import NOW, a_client_of, a_record, a_subscription_id, measured
from tests.red_stats.domain.test_commands import context

PARTITION = 3
CLIENT, OTHER = a_client_of(PARTITION), a_client_of(PARTITION, prefix="other")
DAY_MS = 86_400_000


CHANGELOGS = changelogs_of(LiveTables)


class Live:
    """Live's tables of one partition, with the log of what it read and answered.

    `loaded` are the tables as their changelogs have them.
    """

    def __init__(self):
        self.tables, self.measurements, self.results = LiveTables(), [], []
        self.loaded = LiveTables()
        self.folded = self.commands = 0
        self.ever, self.ended = {}, Counter()

    def command(self, name, client, **fields):
        [answer] = self.batch((name, client, fields))
        return answer

    def batch(self, *commands):
        """Decide commands (name, client, fields) together; their answers."""
        work = _CommandBatch(self.tables, CHANGELOGS, PARTITION, self.ever)
        for name, client, fields in commands:
            told = {"command": name, "command_id": f"c-{self.commands}", "client_id": client} | fields
            record = a_record(orjson.dumps(told), self.commands, client.encode())
            self.commands += 1
            stamp = len(self.measurements)
            work.handle(record, context(offset=record.offset, stamp=stamp, mark=self.folded - 1))
        written = work.records()
        work.apply()
        self.load(written)
        self.results += [value for topic, _, value in written if topic == topics.COMMAND_RESULTS]
        answers = [orjson.loads(value) for value in self.results[-len(commands) :]]
        for answer in answers:
            if "subscription" in answer:
                self.ever.setdefault(answer["client_id"], set()).add(answer["subscription"]["id"])
        return answers

    def load(self, written):
        for name, changelog in CHANGELOGS.items():
            for key, value in ((key, value) for topic, key, value in written if topic == changelog):
                getattr(self.loaded, name).load(key, value)

    def subscription_of(self, client):
        """An id that is used again after an erase, but not after it was deleted."""
        return a_subscription_id(100 * len(client) + self.ended[client])

    def subscribe(self, client, subscription_id, threshold=0.25):
        fields = {"webhook_url": "https://example.com/h", "threshold": threshold}
        return self.command("subscribe", client, subscription_id=subscription_id, **fields)

    def measure(self, client, red):
        self.measurements.append(measured(client, red, len(self.measurements)))

    def fold(self):
        """Fold what was measured since; the alerts that it raised."""
        readings, _ = BatchReader(PARTITION, 4).read_all(self.measurements[self.folded :], -1)
        self.folded = len(self.measurements)
        change = fold_measurements(
            to_measurement_columns(readings), self.tables, partition=PARTITION,
            versions_of=self.tables.thresholds.active_versions, horizon=NOW, retention_ms=DAY_MS,
            erased_of=self.tables.thresholds.erased_of,
        )  # fmt: skip
        change.apply(self.tables)
        self.load(change.records(CHANGELOGS))
        return change.folded.alerts


def replayed(live):
    """Live's tables that follow measurements, folded again from the log."""
    history = History()
    for value in live.results:
        history.add(value)
    expected = ExpectedState(PARTITION, {}, DAY_MS)
    expected.use_history(history)
    readings, _ = BatchReader(PARTITION, 4).read_all(live.measurements[: live.folded], -1)
    expected.add(readings)
    return expected


def test_an_erased_client_has_no_windows_sequences_subscriptions_or_answers():
    live = Live()
    for client in (CLIENT, OTHER):
        live.subscribe(client, a_subscription_id(len(client)))
        live.measure(client, 0.9)
    live.fold()
    before = {key for key in live.tables.windows.encoded() if not key.startswith(CLIENT.encode())}

    answer = live.command("erase", CLIENT)

    assert answer["erased"] == {"before": f"{PARTITION}:2", "at": "2026-09-21T14:13:20.000Z"}
    assert set(live.tables.windows.encoded()) == before
    assert set(live.tables.alert_sequences) == {a_subscription_id(len(OTHER))}
    assert live.tables.thresholds.get(CLIENT).subscriptions == ()
    assert list(live.tables.answers[CLIENT]) == [answer["command_id"]]
    assert live.tables.thresholds.erased_of(CLIENT) == Erased(2, NOW)
    assert live.tables.thresholds.erased_of(OTHER) == NEVER


def test_what_an_erase_removes_does_not_come_back_from_a_changelog():
    live = Live()
    for client in (CLIENT, OTHER):
        live.subscribe(client, a_subscription_id(len(client)))
        live.measure(client, 0.9)
    live.fold()

    [_, _, answer] = live.batch(("enable", CLIENT, {}), ("enable", OTHER, {}), ("erase", CLIENT, {}))

    for name in CHANGELOGS:
        assert getattr(live.loaded, name).encoded() == getattr(live.tables, name).encoded()
    assert list(live.loaded.answers[CLIENT]) == [answer["command_id"]]
    assert len(live.loaded.answers[OTHER]) == 2


def test_sequences_of_subscriptions_deleted_before_go_with_the_client():
    live = Live()
    live.subscribe(CLIENT, a_subscription_id())
    live.measure(CLIENT, 0.9)
    live.fold()
    live.command("unsubscribe", CLIENT, subscription_id=a_subscription_id())
    assert live.tables.alert_sequences

    live.command("erase", CLIENT)

    assert not live.tables.alert_sequences


def test_what_was_measured_before_and_is_folded_later_does_not_count():
    live = Live()
    live.subscribe(CLIENT, a_subscription_id())
    live.measure(CLIENT, 0.9)
    live.measure(OTHER, 0.9)
    live.command("erase", CLIENT)
    live.measure(CLIENT, 0.8)

    assert live.fold() == []

    images = {key: window.images for key, window in live.tables.windows.items()}
    assert images == {(CLIENT, NOW // 60_000): 1, (OTHER, NOW // 60_000): 1}


def test_a_client_that_comes_back_counts_from_one():
    live = Live()
    live.subscribe(CLIENT, a_subscription_id())
    live.measure(CLIENT, 0.9)
    live.fold()
    live.command("erase", CLIENT)
    live.subscribe(CLIENT, a_subscription_id())
    live.measure(CLIENT, 0.9)

    assert [alert.event.seq for alert in live.fold()] == [1]


def test_a_repeated_answer_to_an_erase_ends_nothing_that_came_after():
    live = Live()
    live.command("erase", CLIENT)
    live.subscribe(CLIENT, a_subscription_id())
    history = History()
    for value in (*live.results, live.results[0]):
        history.add(value)

    assert list(history.active_versions()) == [CLIENT]


ACTS = st.lists(
    st.tuples(
        st.sampled_from(["measure", "measure", "fold", "subscribe", "unsubscribe", "erase"]),
        st.sampled_from([CLIENT, OTHER]),
        st.sampled_from([0.1, 0.3, 0.9]),
    ),
    max_size=40,
)


def do(live, act, client, red):
    if act == "fold":
        live.fold()
    elif act == "measure":
        live.measure(client, red)
    elif act == "subscribe":
        live.subscribe(client, live.subscription_of(client))
    elif act == "unsubscribe":
        ended = live.command(act, client, subscription_id=live.subscription_of(client))
        live.ended[client] += ended["status"] == "accepted"
    else:
        live.command(act, client)


@given(ACTS)
def test_the_log_folded_again_gives_what_live_holds_whatever_was_erased(acts):
    live = Live()
    for act in acts:
        do(live, *act)
    live.fold()
    for name in CHANGELOGS:
        assert getattr(live.loaded, name).encoded() == getattr(live.tables, name).encoded()

    again = replayed(live).tables
    assert again.windows.encoded() == live.tables.windows.encoded()
    assert again.alert_sequences == live.tables.alert_sequences


@given(ACTS, ACTS)
def test_a_replay_that_learns_of_an_erasure_later_gives_the_same(acts, later):
    live = Live()
    for act in acts:
        do(live, *act)
    live.fold()
    under_way = replayed(live)
    read = live.folded
    for act in later:
        do(live, *act)
    live.fold()

    history = History()
    for value in live.results:
        history.add(value)
    under_way.use_history(history)
    readings, _ = BatchReader(PARTITION, 4).read_all(live.measurements[read:], -1)
    under_way.add(readings)

    assert under_way.tables.windows.encoded() == live.tables.windows.encoded()
    assert under_way.tables.alert_sequences == live.tables.alert_sequences


@pytest.mark.parametrize(
    ("value", "client"),
    [
        (orjson.dumps({"command": "erase", "command_id": "a", "client_id": CLIENT}), CLIENT),
        (orjson.dumps({"command": "enable", "command_id": "erase", "client_id": CLIENT}), None),
        (b"erase", None),
        (b'{"command": "\\u0065rase", "command_id": "a", "client_id": "%b"}' % CLIENT.encode(), CLIENT),
        (None, None),
    ],
)
def test_only_an_erase_makes_live_look_for_what_a_client_ever_had(value, client):
    assert _to_be_erased(a_record(value)) == client


def test_the_list_of_a_client_that_was_never_erased_says_nothing_of_it():
    live = Live()
    live.subscribe(CLIENT, a_subscription_id())

    assert b"erased" not in encode(live.tables.thresholds.get(CLIENT))


@given(st.integers(0, 10), st.integers(0, 10), st.integers(0, 10))
def test_an_alert_is_erased_with_its_measurement_and_a_delivery_with_its_alert(before, offset, at):
    erased = Erased(before, at)

    assert erased.holds_position(f"3:{offset}") == (offset < before)
    assert erased.holds_delivery(f"3:{offset}", 0) == (offset < before)
    assert erased.holds_delivery("", offset) == (offset <= at)
