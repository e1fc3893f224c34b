"""A client that is erased gets no webhook more about what is erased, and no event is written about it."""

import time

import msgspec
import pytest

from red_stats import topics
from red_stats.agents.settling import settle
from red_stats.agents.updates import Attempted, ClientErased, Expire, SubscriptionChanged
from red_stats.delivery import backlog_reader
from red_stats.domain.backlogs import Backlog, Limits
from red_stats.domain.delivery_kinds import of_alert
from red_stats.domain.erasure import Erased
from red_stats.domain.retries import Outcome
from red_stats.tables.endpoint_rows import encode
from red_stats.tables.proven_endpoints import ProvenEndpoint
from tests.red_stats.delivery.place import FAILS, NEW, OLD, RULES, SCHEDULE, Place

HOUR = 3_600_000
LATER = {"wait": HOUR, "due": int(time.time() * 1000) + 24 * HOUR}  # from when the tests are collected


@pytest.fixture
async def place():
    place = Place()
    yield place
    await place.dispatcher.stop()


@pytest.fixture
async def small():
    place = Place(Limits(endpoint=4, own=2, shared=100))
    yield place
    await place.dispatcher.stop()


def events(place):
    return [value for topic, _, value in place.states.written if topic == topics.DELIVERIES]


async def test_what_waits_ends_without_a_post_or_an_event(place):
    for number in range(3):
        place.push(f"d{number}", position=f"0:{number}", **LATER)

    place.erase(3)
    await place.until_settled()

    assert not place.state.tables.pending
    assert not place.attempts.posts
    assert not events(place)
    tombstones = [key for topic, key, value in place.states.written if topic == "pending" and value is None]
    assert sorted(tombstones) == [b"d0", b"d1", b"d2"]


async def test_a_post_under_way_may_end_and_leaves_nothing(place):
    place.attempts.answers[OLD] = FAILS
    place.attempts.hold.clear()
    place.push("d", position="0:1")
    await place.until(lambda: place.attempts.posts)

    place.erase(3)
    place.attempts.hold.set()
    await place.until_settled()

    assert not place.state.tables.pending
    assert not events(place)
    assert len(place.attempts.posts) == 1


async def test_what_came_since_it_was_erased_is_sent(place):
    place.push("old", position="0:1", **LATER)
    place.push("new", position="0:7", subscription_id="new", **LATER)

    place.erase(5, NEW)
    await place.until_settled()

    assert set(place.state.tables.pending) == {"new"}


async def test_alerts_that_are_read_later_make_no_delivery(place):
    place.erase(2, NEW)

    await place.raise_alerts(("c", "new"), ("c", "new"), ("c", "new"))
    await place.until_settled()

    assert len(place.attempts.posts) == 1  # of the third, at offset 2
    assert b"0:2" in b"".join(events(place))
    assert b"0:0" not in b"".join(events(place))


async def test_what_waits_in_the_log_is_not_read(small):
    small.attempts.hold.clear()
    await small.raise_alerts(*[("c", "s")] * 9)
    assert small.state.tables.backlogs
    before = len(events(small))

    small.erase(9)
    small.attempts.hold.set()
    await small.until_settled()

    assert not small.state.tables.backlogs
    assert not small.state.tables.pending
    assert len(events(small)) == before


async def test_what_a_worker_finds_that_was_away_meanwhile_is_dropped(place):
    place.erase(3)
    place.put("d", position="0:1", **LATER)

    await place.assigned_again()
    await place.until_settled()

    assert not place.state.tables.pending
    assert not events(place)


async def test_rows_of_other_clients_stay(place):
    place.put("d", client_id="other", position="0:1", **LATER)

    place.erase(3)
    await place.until_settled()

    assert set(place.state.tables.pending) == {"d"}


def proven(place, *subscription_ids, client_id="c"):
    for name in subscription_ids:
        place.state.tables.proven.load(name.encode(), encode(ProvenEndpoint(client_id, "mark")))


async def test_proofs_of_subscriptions_that_went_while_a_worker_was_away_go_and_others_stay(place):
    place.erase(3, NEW)
    proven(place, "s", "new")
    proven(place, "s-of-other", client_id="other")

    await place.assigned_again()
    await place.until_settled()

    assert set(place.state.tables.proven) == {"new", "s-of-other"}
    assert [one for one in place.states.written if one[0] == "proven"] == [("proven", b"s", None)]


async def settled(place, *updates):
    """One transaction of updates."""
    await settle(
        0, updates, set(), lambda *_: None, states=place.states, schedule=SCHEDULE,
        find=place.subscriptions.find, rules=RULES, subscriptions_of=place.subscriptions.all_of,
        erased_of=place.subscriptions.erased_of,
    )  # fmt: skip


def a_backlog(client_id):
    return Backlog(client_id=client_id, first=1, last=5, alerts=5)


def attempted(row, status=200, **more):
    outcome = Outcome(status, None if status == 200 else f"answered {status}", 1)
    return Attempted(row, row.attempt + 1, int(time.time() * 1000), outcome, 1, 0.0, OLD, **more)


@pytest.mark.parametrize(("position", "left"), [("0:1", set()), ("0:3", {"s"})])
async def test_an_endpoint_that_proves_itself_while_its_client_is_erased_leaves_no_proof(
    place, position, left
):
    row = place.put("d", position=position)
    place.erase(3)

    await settled(place, attempted(row, proves=True))

    assert set(place.state.tables.proven) == left


@pytest.mark.parametrize(
    "update",
    [
        attempted,
        lambda row: attempted(row, 500),
        lambda row: attempted(row, 410),
        lambda row: SubscriptionChanged("c", "s", None, row.due),
        lambda row: Expire("s", row.due + 100 * HOUR),
    ],
    ids=["delivered", "failed", "gone", "deleted", "expired"],
)
@pytest.mark.parametrize("is_erased", [True, False])
async def test_whatever_happens_to_an_erased_delivery_ends_it_and_is_not_told(place, update, is_erased):
    row = place.put("d", position="0:1", held=True, since=0)
    place.subscriptions.erased = {"c"} if is_erased else set()
    erased = place.subscriptions.clients["c"]
    place.subscriptions.clients["c"] = msgspec.structs.replace(erased, erased=Erased(3, 0))

    await settled(place, update(row))

    told = [
        one for one in place.states.written if one[0] in (topics.DELIVERIES, topics.SUBSCRIPTION_COMMANDS)
    ]
    assert bool(told) == (not is_erased)
    if is_erased:
        assert place.states.written == [("pending", b"d", None)]
        assert not place.state.tables.pending


async def test_backlogs_of_an_erased_client_end_but_those_of_its_subscriptions(place):
    place.state.tables.backlogs.update(
        {"gone": a_backlog("c"), "kept": a_backlog("c"), "other": a_backlog("other")}
    )

    await settled(place, ClientErased("c", frozenset({"kept"})))

    assert set(place.state.tables.backlogs) == {"kept", "other"}
    assert place.states.written == [("backlogs", b"gone", None)]


async def test_a_backlog_that_a_worker_finds_ends_though_the_log_cannot_be_read(small, monkeypatch):
    monkeypatch.setattr(backlog_reader, "RETRY_SECONDS", 0.01)
    small.log = None  # to read it is an error
    small.erase(9)
    small.state.tables.backlogs["s"] = a_backlog("c")

    await small.assigned_again()

    await small.until(lambda: not small.state.tables.backlogs)


async def test_of_a_backlog_only_what_came_since_is_sent(small, monkeypatch):
    monkeypatch.setattr(backlog_reader, "RETRY_SECONDS", 0.01)
    small.attempts.hold.clear()
    await small.raise_alerts(*[("c", "s")] * 12)
    await small.until(lambda: small.attempts.posts)
    under_way = {name for name, _ in small.attempts.posts}

    small.erase(9, OLD, name="s")  # the id is used again
    small.attempts.hold.set()
    await small.until(lambda: not small.state.tables.backlogs and not small.state.tables.pending)

    sent = {name for name, _ in small.attempts.posts} - under_way
    assert sent == {of_alert(one.key, one.value, one.timestamp).id for one in small.log[9:]}
