"""What becomes of alerts that wait for a digest when their client, subscription or endpoint changes."""

import json
from functools import partial

import pytest

from red_stats import topics
from red_stats.agents.deliveries import enqueue_deliveries
from red_stats.agents.settling import settle
from red_stats.agents.updates import ClientErased, DigestsDue, Expire, SubscriptionChanged
from red_stats.domain.digests import ROOM
from red_stats.domain.erasure import NEVER, Erased
from tests.builders import NOW, a_batch, a_record, a_subscription, a_subscription_id, an_alert, next_end
from tests.red_stats.delivery.place import AMPLE, RULES, SCHEDULE, State, States

NAME, CLIENT = a_subscription_id(), "client"
LATER, LONG_AFTER = NOW + 10_000, NOW + 80 * 3_600_000


class Deliver:
    """Role deliver's folds over one partition; `erased` is what is known to be erased of the client."""

    def __init__(self):
        self.states, self.state, self.erased = States(), State(), NEVER
        self.states.held[0] = self.state
        self.subscription = a_subscription(id=NAME, min_interval=10)
        self.pushed = []

    async def fold(self, *times, **fields):
        """An alert logged at each of these times (ms after NOW)."""
        start = self.state.mark(topics.ALERTS).offset + 1
        new = [
            a_record(
                an_alert(subscription_id=NAME, seq=n + 1, position=f"0:{n}", **fields),
                n, CLIENT.encode(), NOW + at,
            )
            for n, at in enumerate(times, start)
        ]  # fmt: skip
        await enqueue_deliveries(
            a_batch(topics.ALERTS, 0, new), states=self.states, begin=self.push, push=self.push,
            limits=AMPLE, find=self.find, until_known=self.until_known, erased_of=lambda _: self.erased,
        )  # fmt: skip

    async def settle(self, *updates):
        await partial(
            settle,
            states=self.states,
            schedule=SCHEDULE,
            find=self.find,
            rules=RULES,
            subscriptions_of=lambda _: (),
        )(0, updates, frozenset(), self.push, erased_of=lambda _: self.erased)

    def erase(self):
        self.erased, self.subscription = Erased(100, NOW), None

    def find(self, client_id, subscription_id):
        return self.subscription

    def push(self, partition, rows):
        self.pushed += rows

    async def until_known(self, rows):
        list(rows)

    @property
    def pending(self):
        return self.state.tables.pending

    @property
    def digests(self):
        return self.state.tables.digests

    def told(self):
        """(kind, state, first and last seq) of each event on red.deliveries."""
        events = [json.loads(value) for topic, _, value in self.states.written if topic == topics.DELIVERIES]
        return [(e["kind"], e["state"], e["first_seq"], e["last_seq"]) for e in events]


@pytest.fixture
async def waiting():
    """One alert is delivered on its own, two wait for a digest."""
    deliver = Deliver()
    await deliver.fold(0, 1_000, 2_000)
    for name in list(deliver.pending):
        deliver.pending.put(name, None)
    deliver.states.written.clear()
    deliver.pushed.clear()
    return deliver


ERASED = ClientErased(CLIENT, frozenset())
DUE = DigestsDue(LATER)
DELETED = SubscriptionChanged(CLIENT, NAME, None, LATER)


@pytest.mark.parametrize(
    "updates", [(ERASED,), (DUE, ERASED), (ERASED, DUE), (DELETED, ERASED), (ERASED, DELETED), (DUE, DELETED)]
)
async def test_of_alerts_that_waited_when_their_client_was_erased_nothing_is_told_or_left(waiting, updates):
    waiting.erase()
    await waiting.settle(*updates)
    assert (waiting.told(), waiting.pushed, waiting.pending) == ([], [], {})
    if ERASED in updates:
        assert waiting.digests.encoded() == {}


async def test_alerts_of_a_subscription_made_after_its_client_was_erased_go_on_waiting(waiting):
    waiting.erased = Erased(1, NOW)
    await waiting.settle(ClientErased(CLIENT, frozenset({NAME})), DUE)
    assert waiting.told() == [("digest", "pending", 2, 3)]


async def test_a_digest_that_waited_for_room_is_made_when_everything_else_has_expired():
    deliver = Deliver()
    deliver.subscription = a_subscription(id=NAME, min_interval=1)
    big = {"more": "x" * 60_000}
    await deliver.fold(*range(0, 2_000 * (ROOM // 60_000 + 2), 2_000), **big)
    await deliver.fold(200_000, 200_100, 200_200)
    await deliver.settle(DigestsDue(LATER + 200_000))
    assert deliver.digests[NAME].postponed
    deliver.states.written.clear()

    await deliver.settle(Expire(NAME, LONG_AFTER))

    [*expired, made] = [(kind, state) for kind, state, *_ in deliver.told()][::-1]
    assert made == ("digest", "pending")
    assert set(expired) == {("alert", "exhausted")}
    assert len(deliver.pending) == 1
    assert not deliver.digests.alerts


async def test_what_waits_for_a_disabled_subscription_is_one_digest_when_it_is_enabled_again(waiting):
    enabled = waiting.subscription
    waiting.subscription = a_subscription(id=NAME, version=2, min_interval=10, enabled=False)
    await waiting.settle(SubscriptionChanged(CLIENT, NAME, waiting.subscription, NOW + 5_000), DUE)
    await waiting.fold(20_000, 40_000)
    assert (waiting.told(), next_end(waiting.digests)) == ([], None)

    waiting.subscription = enabled
    await waiting.settle(*[SubscriptionChanged(CLIENT, NAME, enabled, NOW + 60_000)] * 2)

    assert waiting.told() == [("digest", "pending", 2, 5)]
    [row] = waiting.pending.values()
    assert (row.count, row.due, waiting.digests[NAME].end) == (4, NOW + 60_000, NOW + 70_000)
