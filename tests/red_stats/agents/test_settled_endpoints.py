"""What attempts make of an endpoint: told of once, disabled, probed, enabled, whatever is delivered twice."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from red_stats import topics
from red_stats.agents.endpoints import ROOM
from red_stats.agents.settling import settle
from red_stats.agents.updates import Attempted, ClientErased, ProbesDue, SubscriptionChanged
from red_stats.domain.deliveries import Row
from red_stats.domain.erasure import NEVER, Erased
from red_stats.domain.retries import Outcome
from red_stats.tables.failing_endpoints import FailingEndpoints
from tests.builders import NOW, a_subscription, a_subscription_id
from tests.red_stats.delivery.place import RULES, SCHEDULE, State, States

CLIENT, NAME, TOLD = "c", a_subscription_id(1), a_subscription_id(2)
HOUR, DAY = 3_600_000, 86_400_000
BY_SYSTEM = {"enabled": False, "holds": True, "disabled_reason": "failing", "version": 9}


class Deliver:
    """Role deliver over one partition, and role live as far as it obeys `disable` and `enable`.

    Every transaction comes twice.
    """

    def __init__(self):
        self.states, self.state, self.erased, self.at, self.number = States(), State(), NEVER, NOW, 0
        self.states.held[0] = self.state
        self.failing = self.state.tables.failing
        self.own = a_subscription(id=NAME)
        self.other = a_subscription(id=TOLD, notices=True)

    async def settle(self, *updates):
        for _ in range(2):
            await settle(
                0, updates, frozenset(), lambda *_: None, states=self.states, schedule=SCHEDULE,
                find=self.find, rules=RULES, subscriptions_of=self.all_of, erased_of=lambda _: self.erased,
            )  # fmt: skip

    def find(self, client_id, name):
        return next((one for one in self.all_of(client_id) if one.id == name), None)

    def all_of(self, client_id):
        return [self.own, self.other] if client_id == CLIENT else []

    async def change(self, **fields):
        version = self.own.version + 1
        self.own = a_subscription(
            **{"id": NAME, "webhook_url": self.own.webhook_url, **fields, "version": version}
        )
        await self.settle(SubscriptionChanged(CLIENT, NAME, self.own, self.at))

    async def attempt(self, status, after=0, kind="red.alert", version=None):
        """A new delivery, or the probe that is due, is tried once, so long (ms) after what was last."""
        self.at += after
        due = [one for one in self.state.tables.pending.values() if one.type == kind == "red.probe"]
        self.number += 1
        row = Row(
            id=f"d{self.number}", webhook_id="msg_d", alert_id="", client_id=CLIENT, subscription_id=NAME,
            version=1, type=kind, timestamp="", data="{}", since=self.at, due=self.at,
        )  # fmt: skip
        row = due[0] if due else row
        self.state.tables.pending.put(row.id, row)
        outcome = Outcome(status, None if status == 200 else f"answered {status}", 1)
        await self.settle(
            Attempted(row, 1, self.at, outcome, version or self.own.version, 0.0, self.own.webhook_url)
        )

    async def probe(self, after=0):
        self.at += after
        await self.settle(ProbesDue(self.at))

    async def obey(self):
        """What role live does with the last command that came, if the version is still the one it names."""
        commands = self.commands()
        if commands and commands[-1]["if_version"] == self.own.version:
            is_disable = commands[-1]["command"] == "disable"
            reason = commands[-1].get("reason")
            await self.change(enabled=not is_disable, holds=is_disable, disabled_reason=reason)

    async def until_disabled(self):
        await self.attempt(500)
        await self.attempt(500, after=RULES.disable_ms)
        await self.obey()
        self.states.written.clear()

    def written(self, topic):
        return [json.loads(value) for name, _, value in self.states.written if name == topic]

    def commands(self):
        """Each once, as role live takes them."""
        found = {one["command_id"]: one for one in self.written(topics.SUBSCRIPTION_COMMANDS)}
        return list(found.values())

    def told(self, kind):
        return [one for one in self.written(topics.DELIVERIES) if one["kind"] == kind]

    def changes(self):
        return [one["state"] for one in self.told("health")]

    def notices(self):
        rows = [one for one in self.state.tables.pending.values() if one.type == "red.notice"]
        return [json.loads(one.data) for one in sorted(rows, key=lambda one: one.since)]


async def test_one_that_fails_for_five_days_is_disabled_told_and_probed_until_it_is_enabled():
    deliver = Deliver()
    await deliver.attempt(500)
    await deliver.attempt(500, after=RULES.disable_ms - 1)
    assert (deliver.changes(), deliver.commands()) == (["failing"], [])
    await deliver.attempt(500, after=1)
    [command] = deliver.commands()
    assert (command["command"], command["reason"], command["if_version"]) == ("disable", "failing", 1)
    await deliver.obey()

    await deliver.probe(after=HOUR - 1)
    assert deliver.told("probe") == []
    await deliver.probe(after=1)
    assert [(one["state"], one["subscription_id"]) for one in deliver.told("probe")] == [("pending", NAME)]

    await deliver.attempt(200, kind="red.probe")
    assert (deliver.commands()[-1]["command"], deliver.commands()[-1]["if_version"]) == ("enable", 2)
    await deliver.obey()
    assert deliver.changes() == ["failing", "disabled", "enabled"]
    assert [one["state"] for one in deliver.notices()] == ["failing", "disabled", "enabled"]
    assert {one["subscription_id"] for one in deliver.notices()} == {NAME}
    assert deliver.notices()[1]["reason"] == "failing"
    assert deliver.failing == {}


async def test_a_410_disables_at_once_and_is_told_and_not_probed():
    deliver = Deliver()
    await deliver.attempt(410)
    assert [(one["command"], one["reason"]) for one in deliver.commands()] == [("disable", "gone")]
    await deliver.obey()
    await deliver.probe(after=40 * DAY)
    assert (deliver.changes(), deliver.told("probe")) == (["disabled"], [])


@pytest.mark.parametrize("kind", ["red.test", "red.probe"])
async def test_a_failed_test_or_probe_begins_nothing_and_a_success_ends_what_failed(kind):
    deliver = Deliver()
    await deliver.attempt(410, kind=kind)
    assert (deliver.failing, deliver.commands()) == ({}, [])
    await deliver.attempt(500)
    await deliver.attempt(200, kind=kind)
    assert deliver.failing == {}


async def test_a_probe_that_succeeds_while_the_subscription_changes_is_made_again_within_a_minute():
    deliver = Deliver()
    await deliver.until_disabled()
    await deliver.probe(after=HOUR)
    await deliver.change(enabled=False, holds=True, disabled_reason="failing", threshold=0.5)
    await deliver.attempt(200, kind="red.probe", version=2)
    await deliver.obey()  # refused: it names the version before
    assert not deliver.own.enabled
    await deliver.probe(after=60_000)
    assert [one["state"] for one in deliver.told("probe")].count("pending") == 2
    await deliver.attempt(200, kind="red.probe")
    await deliver.obey()
    assert deliver.own.enabled


async def test_a_probe_under_way_ends_when_the_client_disables_the_subscription_itself():
    deliver = Deliver()
    await deliver.until_disabled()
    await deliver.probe(after=HOUR)
    await deliver.settle(SubscriptionChanged(CLIENT, NAME, deliver.own, deliver.at))
    assert [one["state"] for one in deliver.told("probe")] == ["pending"]
    await deliver.change(enabled=False)
    assert [one["state"] for one in deliver.told("probe")] == ["pending", "cancelled"]
    await deliver.probe(after=DAY)
    assert (len(deliver.told("probe")), deliver.failing) == (2, {})


async def test_nobody_is_told_of_an_endpoint_by_the_endpoint_itself_or_by_one_that_is_disabled():
    deliver = Deliver()
    deliver.own = a_subscription(id=NAME, notices=True)
    deliver.other = a_subscription(id=TOLD, notices=True, enabled=False)
    await deliver.attempt(410)
    await deliver.obey()
    assert (deliver.changes(), deliver.notices()) == (["disabled"], [])


async def test_an_endpoint_that_takes_no_notices_gets_no_more_than_a_hundred():
    deliver = Deliver()
    for _ in range(150):
        await deliver.attempt(410, after=1000)
        await deliver.obey()
        await deliver.change(enabled=True)
    assert len(deliver.changes()) == 300
    assert len(deliver.notices()) == ROOM


async def test_of_an_erased_client_nothing_is_left_or_told():
    deliver = Deliver()
    await deliver.until_disabled()
    deliver.erased = Erased(10**9, deliver.at)
    await deliver.settle(ClientErased(CLIENT, frozenset({TOLD})))
    await deliver.probe(after=DAY)
    assert (deliver.failing, deliver.told("probe"), deliver.changes()) == ({}, [], [])
    await deliver.settle(
        SubscriptionChanged(CLIENT, NAME, a_subscription(id=NAME, **BY_SYSTEM), deliver.erased.at)
    )
    assert (deliver.changes(), deliver.notices()) == ([], [])


STEPS = st.one_of(
    st.tuples(st.just("attempt"), st.sampled_from([200, 500, 500, 500, 410]), st.integers(0, 3 * DAY)),
    st.tuples(st.just("probe"), st.sampled_from([200, 500]), st.integers(0, DAY)),
    st.tuples(st.just("client"), st.booleans(), st.integers(0, DAY)),
)


BEFORE = {
    "failing": {None, "failing", "ok", "disabled", "enabled"},  # the client may have disabled it, and enabled
    "ok": {"failing"},
    "disabled": {None, "failing", "ok", "disabled", "enabled"},
    "enabled": {"disabled"},
}


@given(st.lists(STEPS, max_size=30))
async def test_changes_are_told_once_in_an_order_that_can_be_and_a_disabled_one_is_never_forgotten(steps):
    deliver = Deliver()
    for what, value, after in steps:
        if what == "client":
            await deliver.change(enabled=value)
        elif what == "probe":
            before = len(deliver.told("probe"))
            await deliver.probe(after)
            if len(deliver.told("probe")) > before:
                await deliver.attempt(value, kind="red.probe")
                await deliver.obey()
        elif deliver.own.enabled:
            await deliver.attempt(value, after)
            await deliver.obey()
        told = deliver.changes()
        for before, state in zip([None, *told], told, strict=False):
            assert before in BEFORE[state]
        assert [one["state"] for one in deliver.notices()] == told
        assert len({one["id"] for one in deliver.told("health")}) == len(told)
        assert (deliver.own.disabled_reason is not None) == bool(
            deliver.failing and deliver.failing[NAME].disabled
        )
        again = FailingEndpoints()
        for key, row in deliver.failing.encoded().items():
            again.load(key, row)
        assert (again, again.of, again.next_due()) == (
            deliver.failing, deliver.failing.of, deliver.failing.next_due(),
        )  # fmt: skip
