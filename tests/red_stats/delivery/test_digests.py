"""Alerts that wait for a digest, in a dispatcher whose partitions and subscriptions come and go."""

import json

import pytest

from red_stats import topics
from red_stats.delivery import digest_timer
from red_stats.domain.erasure import Erased
from red_stats.domain.retries import Outcome
from red_stats.domain.subscriptions import Client
from tests.builders import a_subscription, a_subscription_id
from tests.red_stats.delivery.place import OLD, Place

NAME = a_subscription_id()
GONE = Outcome(410, "answered 410", 1)


@pytest.fixture
async def place(monkeypatch):
    monkeypatch.setattr(digest_timer, "RETRY_SECONDS", 0.01)
    place = Place()
    be(place, version=1)
    yield place
    await place.dispatcher.stop()


def be(place, told=True, **fields):
    """The client's only subscription is this one now; without fields it has none."""
    offset = place.subscriptions.get("c").offset + 1
    defaults = {"id": NAME, "webhook_url": OLD, "min_interval": 10, "version": offset + 1}
    made = (a_subscription(**defaults | fields),) if fields else ()
    place.subscriptions.clients["c"] = Client(client_id="c", offset=offset, subscriptions=made)
    if told:
        place.dispatcher.on_subscription_changed("c")


def events(place):
    """(kind, state, count) of each event on red.deliveries, but those of the first alert."""
    found = [json.loads(value) for topic, _, value in place.states.written if topic == topics.DELIVERIES]
    return [(e["kind"], e["state"], e["count"]) for e in found if e["kind"] == "digest"]


async def postponed(place):
    """Two alerts wait for a digest whose time has come, since the subscription is disabled."""
    be(place, enabled=False)
    await place.raise_alerts(("c", NAME), ("c", NAME), ("c", NAME))
    await place.until(
        lambda: NAME in place.state.tables.digests and place.state.tables.digests[NAME].postponed
    )
    await place.until_settled()
    assert place.attempts.posts == []


async def test_a_digest_whose_time_has_come_is_made_and_sent(place):
    await place.raise_alerts(("c", NAME), ("c", NAME), ("c", NAME))
    await place.until(lambda: ("digest", "delivered", 2) in events(place))
    assert len(place.attempts.posts) == 2


async def test_what_waits_is_made_after_a_rebalance(place):
    await postponed(place)
    place.states.held.pop(0)
    place.dispatcher.on_revoked(place.state)
    be(place, enabled=True)  # while nobody holds the partition
    await place.until_settled()
    assert events(place) == []

    place.states.held[0] = place.state
    await place.dispatcher.on_assigned(place.state)
    await place.until(lambda: ("digest", "delivered", 2) in events(place))


@pytest.mark.parametrize("is_read", [True, False])
async def test_what_waits_for_a_subscription_deleted_while_no_worker_ran_is_cancelled(place, is_read):
    await postponed(place)
    for name in list(place.state.tables.pending):  # nothing else tells of it
        place.state.tables.pending.put(name, None)
    place.states.held.pop(0)
    place.dispatcher.on_revoked(place.state)
    be(place, told=False)
    if not is_read:  # the list that this worker has is older than the interval
        place.subscriptions.unread["c"] = place.subscriptions.clients.pop("c")

    place.states.held[0] = place.state
    await place.dispatcher.on_assigned(place.state)

    await place.until(lambda: events(place) == [("digest", "pending", 2), ("digest", "cancelled", 2)])
    assert place.state.tables.digests.encoded() == {}
    assert place.attempts.posts == []


async def test_a_subscription_that_a_new_worker_has_not_read_yet_is_not_taken_for_deleted(place):
    await postponed(place)
    be(place, told=False, enabled=True)
    place.subscriptions.unread["c"] = place.subscriptions.clients.pop("c")
    await place.assigned_again()
    await place.until(lambda: ("digest", "delivered", 2) in events(place))
    assert ("digest", "cancelled", 2) not in events(place)


@pytest.mark.parametrize("away", [True, False])
async def test_of_what_waits_for_an_erased_client_nothing_is_sent_told_or_left(place, away):
    await postponed(place)
    place.states.written.clear()
    place.subscriptions.erased.add("c")
    erased = Client(client_id="c", offset=9, subscriptions=(), erased=Erased(100, 1))
    place.subscriptions.clients["c"] = erased
    if away:
        await place.assigned_again()
    else:
        place.dispatcher.on_subscription_changed("c")
    await place.until_settled()
    assert (place.attempts.posts, events(place), place.state.tables.digests.encoded()) == ([], [], {})


async def test_alerts_of_an_endpoint_that_is_gone_are_one_digest_when_it_is_enabled_again(place):
    place.attempts.answers[OLD] = GONE
    await place.raise_alerts(("c", NAME))
    await place.until_settled()
    be(place, enabled=False, disabled_reason="gone")
    await place.raise_alerts(("c", NAME), ("c", NAME))
    await place.raise_alerts(("c", NAME))
    await place.until_settled()
    assert len(place.attempts.posts) == 1
    assert events(place) == []

    place.attempts.answers.clear()
    be(place, enabled=True)
    await place.until(lambda: ("digest", "delivered", 3) in events(place))
    assert len(place.attempts.posts) == 3  # the held one again, and the digest
