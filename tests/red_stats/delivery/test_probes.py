"""A disabled endpoint is probed in its time and by nothing else, and gets what it missed bit by bit."""

import asyncio
import time

import msgspec
import pytest

from red_stats.agents.updates import ProbesDue
from red_stats.delivery.probe_timer import ProbeTimer
from red_stats.domain.deliveries import url_mark
from red_stats.domain.failing_endpoints import Endpoint
from red_stats.domain.subscriptions import Client
from red_stats.tables.endpoint_rows import encode
from tests.builders import a_subscription
from tests.red_stats.delivery.place import ASKS, FAILS, OLD, Place, State

HOUR = 3_600_000
DISABLED = {"enabled": False, "holds": True, "disabled_reason": "failing"}


@pytest.fixture
async def place():
    place = Place()
    yield place
    await place.dispatcher.stop()


def failing(state, name="s", **fields):
    endpoint = Endpoint(client_id="c", url=url_mark(OLD), since=1, **fields)
    state.tables.failing.load(name.encode(), encode(endpoint))


def probes(place):
    return [row for row in place.state.tables.pending.values() if row.type == "red.probe"]


async def test_a_disabled_endpoint_gets_its_probe_and_nothing_of_what_waits(place):
    place.attempts.answers[OLD] = FAILS
    place.change(**DISABLED)
    for number in range(3):
        place.push(f"held{number}")
    await place.until_settled()
    now = int(time.time() * 1000)
    failing(place.state, disabled="failing", due=now, until=now + 24 * HOUR)
    place.dispatcher.push(0, [])
    await place.until(lambda: place.attempts.posts)
    await place.until_settled()
    assert len(place.attempts.posts) == 1
    assert not place.attempts.posts[0][0].startswith("held")
    assert probes(place) == []
    assert all(row.held for row in place.state.tables.pending.values())
    assert place.state.tables.failing["s"].due >= now + 6 * HOUR


async def test_what_waited_for_an_endpoint_goes_out_one_then_two_then_four_at_a_time(place):
    place.change(**DISABLED)
    place.push("first")
    await place.until_settled()
    for number in range(12):
        place.push(f"held{number}")
    await place.until_settled()
    place.attempts.hold.clear()
    place.change()
    in_flight = []
    for expected in (1, 3, 7, 11):
        await place.until(lambda expected=expected: len(place.attempts.posts) >= expected)
        await asyncio.sleep(0.05)  # more would have begun by now
        in_flight.append(len(place.attempts.posts))
        place.attempts.hold.set()
        place.attempts.hold.clear()
    place.attempts.hold.set()
    assert in_flight == [1, 3, 7, 11]


async def test_a_subscription_that_the_system_disabled_is_probed_whatever_this_worker_knew_of_it(place):
    place.change(**DISABLED)
    await place.until_settled()
    assert place.state.tables.failing["s"].due > time.time() * 1000


async def test_one_that_was_disabled_or_enabled_while_no_worker_ran_is_found_when_it_is_assigned(place):
    failing(place.state)
    place.states.held.pop(0)
    place.change(**DISABLED)
    place.states.held[0] = place.state
    await place.dispatcher.on_assigned(place.state)
    await place.until_settled()
    assert place.state.tables.failing["s"].disabled == "failing"

    place.states.held.pop(0)
    place.change()
    place.states.held[0] = place.state
    await place.dispatcher.on_assigned(place.state)
    await place.until_settled()
    assert place.state.tables.failing == {}


async def test_a_worker_that_has_not_read_the_newest_version_takes_no_change_for_another(place):
    place.change(**DISABLED)
    await place.until_settled()
    row = place.state.tables.failing["s"]
    place.subscriptions.unread = dict(place.subscriptions.clients)
    before = a_subscription(id="s", version=1, webhook_url=OLD)
    place.subscriptions.clients["c"] = Client(client_id="c", offset=0, subscriptions=(before,))
    place.states.written.clear()

    await place.assigned_again()
    await place.until_settled()

    assert place.state.tables.failing["s"] == row
    assert place.states.written == []


async def test_a_probe_waits_for_the_one_that_is_under_way(place):
    now = int(time.time() * 1000)
    place.attempts.hold.clear()
    place.change(**DISABLED)
    await place.until_settled()
    for _ in range(2):
        failing(place.state, disabled="failing", due=now, until=now + 24 * HOUR)
        place.dispatcher.push(0, [])
        await place.until(lambda: place.state.tables.failing["s"].due > now)
    assert len(probes(place)) == 1
    place.attempts.hold.set()


async def test_a_disabled_endpoint_that_asks_to_be_left_alone_gets_nothing_before_its_time(place):
    now = int(time.time() * 1000)
    place.attempts.answers[OLD] = ASKS
    place.change(**DISABLED)
    place.push("held")
    await place.until_settled()
    failing(place.state, disabled="failing", due=now, until=now + 24 * HOUR)
    place.dispatcher.push(0, [])
    await place.until(lambda: place.attempts.posts)
    await place.until_settled()
    place.change()
    await place.until_settled()
    await asyncio.sleep(0.05)
    assert len(place.attempts.posts) == 1


class Timer:
    def __init__(self):
        self.held, self.added, self.now = {0: State()}, [], 1000.0
        self.timer = ProbeTimer(
            states=self, add=lambda *update: self.added.append(update), now=lambda: self.now
        )


async def test_probes_are_asked_for_when_the_first_is_due_and_not_before():
    timer = Timer()
    failing(timer.held[0], "later", due=1_000_500)
    failing(timer.held[0], "first", due=1_000_020)
    timer.timer.look(0)
    await asyncio.sleep(0.05)
    assert timer.added == []  # by the wall clock it is not due
    timer.now = 1000.02
    async with asyncio.timeout(5):
        while not timer.added:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert timer.added == [(0, ProbesDue(1_000_020))]
    assert timer.held[0].tables.failing.due(1_000_020) == ["first"]


async def test_nothing_is_asked_for_once_the_partition_is_gone_or_the_timer_stopped():
    for end in (lambda one: one.held.clear(), lambda one: one.timer.stop()):
        timer = Timer()
        failing(timer.held[0], due=1_000_010)
        timer.timer.look(0)
        timer.now = 2000.0
        end(timer)
        await asyncio.sleep(0.05)
        timer.timer.look(0)
        assert timer.added == []


def test_a_row_that_cannot_be_read_changes_nothing():
    tables = State().tables
    failing(State())
    with pytest.raises(msgspec.ValidationError):
        tables.failing.load(b"s", b"[]")
    assert tables.failing == {}
