"""When digests are made: not before their time, never without what belongs into them, and never twice."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from red_common.kafka.connection import KafkaError
from red_stats import topics
from red_stats.agents.updates import DigestsDue
from red_stats.delivery import digest_timer
from red_stats.delivery.digest_timer import DigestTimer
from red_stats.delivery.tasks import Tasks
from red_stats.domain.digests import Interval
from red_stats.tables.digests import encode
from red_stats.tables.partition_state import Mark
from tests.builders import a_record, a_subscription_id
from tests.red_stats.delivery.place import State

NAME, END = a_subscription_id(), 1_000


class States:
    """The partitions held; `reached` waits for the fold."""

    def __init__(self):
        self.held = {0: State()}

    async def reached(self, topic, partition, offset):
        while partition not in self.held or self.held[partition].mark(topic).offset < offset:  # noqa: ASYNC110
            await asyncio.sleep(0)


class Timer:
    """A timer over one partition whose clock stands still; `made` are the updates it asks for.

    `log` are the offsets of the records of red.alerts; what stands there ends at `end`.
    """

    def __init__(self):
        self.states, self.tasks = States(), Tasks()
        self.now, self.made, self.looks = 0.0, [], 0
        self.log, self.end, self.failures = [], 0, []
        self.may_read = asyncio.Event()
        self.may_read.set()
        self.timer = DigestTimer(
            states=self.states, end_of=self.end_of, read_alerts=self.read,
            add=lambda partition, update: self.made.append((partition, update)),
            spawn=self.tasks.spawn, now=self.clock,
        )  # fmt: skip

    def clock(self):
        self.looks += 1
        return self.now

    async def end_of(self, topic, partition):
        assert topic == topics.ALERTS
        if self.failures:
            raise self.failures.pop()
        return self.end

    async def read(self, partition, start, end):
        await self.may_read.wait()
        found = [offset for offset in self.log if start <= offset < end]
        for first in range(0, len(found), 2):
            yield [a_record(b"", offset) for offset in found[first : first + 2]]

    @property
    def state(self):
        return self.states.held[0]

    def wait_until(self, end=END, **fields):
        row = Interval(client_id="c", end=end, count=1, first_seq=1, last_seq=1, **fields)
        self.state.tables.digests.load(NAME.encode(), encode(row))
        self.timer.look(0)

    def fold(self, offset):
        self.state.marks[topics.ALERTS] = Mark(offset, 0)

    async def idle(self, turns=50):
        """As many turns of the loop as anything here takes."""
        for _ in range(turns):
            await asyncio.sleep(0)

    async def until_made(self, count=1):
        await self.until(lambda: len(self.made) >= count)

    async def until(self, condition):
        async with asyncio.timeout(30):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.005)


@asynccontextmanager
async def a_timer():
    timer = Timer()
    try:
        yield timer
    finally:
        timer.timer.stop()
        await timer.tasks.stop(0)


@pytest.fixture
async def timer(monkeypatch):
    monkeypatch.setattr(digest_timer, "RETRY_SECONDS", 0.01)
    async with a_timer() as timer:
        yield timer


async def test_nothing_is_made_before_its_time_even_if_a_timer_goes_off_early(timer):
    timer.wait_until()
    timer.now = 0.999
    timer.timer.look(0)
    await timer.idle()
    assert timer.made == []

    timer.now = 1.0
    timer.timer.look(0)
    await timer.idle()
    assert timer.made == [(0, DigestsDue(END))]


async def test_the_timer_goes_off_by_itself(timer):
    timer.now = 0.98
    timer.wait_until()
    timer.now = 1.0
    await timer.until_made()


async def test_alerts_logged_before_the_end_are_folded_first(timer):
    timer.log, timer.end, timer.now = [3, 5, 6, 9, 12], 10, 1.2
    timer.wait_until()
    await timer.idle()
    assert timer.made == []
    timer.fold(6)
    await timer.idle()
    assert timer.made == []

    timer.fold(9)  # the last one before the end of the log; what is logged meanwhile is not waited for
    await timer.idle()
    assert timer.made == [(0, DigestsDue(1_200))]


async def test_a_log_that_ends_with_a_transactions_marker_is_folded(timer):
    timer.end, timer.now = 8, 1.0
    timer.fold(6)
    timer.wait_until()
    await timer.idle()
    assert timer.made == [(0, DigestsDue(END))]


async def test_only_what_is_due_when_the_log_was_looked_at_is_made(timer):
    """An alert that came while it was read may belong before a later end."""
    timer.may_read.clear()
    timer.end, timer.now = 8, 1.0
    timer.wait_until()
    await timer.idle()
    timer.now = 60.0
    timer.may_read.set()
    await timer.idle()
    assert timer.made == [(0, DigestsDue(END))]


async def test_a_failure_of_kafka_delays_and_loses_nothing(timer, monkeypatch):
    monkeypatch.setattr(digest_timer, "FOLD_SECONDS", 0.01)
    timer.failures = [KafkaError("away"), OSError("cut"), ZeroDivisionError("a bug")]
    timer.log, timer.end, timer.now = [4], 5, 1.0
    timer.wait_until()
    await timer.until(lambda: not timer.failures)
    await asyncio.sleep(0.1)  # the fold does not get on either
    assert timer.made == []

    timer.fold(4)
    await timer.until_made()
    await timer.idle()
    assert timer.made == [(0, DigestsDue(END))]


async def test_kafka_that_stays_away_is_asked_once_in_a_while(timer, monkeypatch):
    monkeypatch.setattr(digest_timer, "RETRY_SECONDS", 3600)
    timer.failures = [KafkaError("away")] * 100
    timer.now = 1.0
    timer.wait_until()
    await timer.idle(1_000)
    assert len(timer.failures) == 99


async def test_what_is_being_made_is_not_begun_again_until_it_is_settled(timer):
    timer.now = 1.0
    timer.wait_until()
    for _ in range(5):
        timer.timer.look(0)
        await timer.idle()
    assert len(timer.made) == 1
    timer.timer.settled(0)
    await timer.idle()
    assert len(timer.made) == 2


async def test_a_partition_that_was_revoked_makes_nothing_and_comes_back_whole(timer):
    timer.now = 0.98
    timer.wait_until()
    state = timer.states.held.pop(0)
    timer.now = 1.0
    await asyncio.sleep(0.05)
    timer.timer.look(0)
    assert (timer.made, len(timer.tasks)) == ([], 0)

    timer.states.held[0] = state
    timer.timer.look(0)
    await timer.idle()
    assert timer.made == [(0, DigestsDue(END))]


@pytest.mark.parametrize("is_back", [True, False])
async def test_a_partition_revoked_while_its_log_is_read_is_not_lost_to_the_timer(
    timer, monkeypatch, is_back
):
    monkeypatch.setattr(digest_timer, "FOLD_SECONDS", 0.02)
    timer.log, timer.end, timer.now = [4], 5, 1.0
    timer.wait_until()
    await timer.idle()
    state = timer.states.held.pop(0)
    if not is_back:
        await timer.until(lambda: not timer.tasks)
        assert timer.made == []
    timer.states.held[0] = state
    timer.fold(4)
    timer.timer.look(0)
    await timer.until_made()
    await timer.idle()
    assert timer.made == [(0, DigestsDue(END))]


@pytest.mark.parametrize("postponed", [True, False])
async def test_nothing_spins_while_nothing_can_be_made(timer, postponed):
    if postponed:
        timer.now = 5.0
        timer.wait_until(postponed=True)
    else:
        timer.wait_until()
        timer.now = -86_400.0  # the clock was set back
        timer.timer.look(0)
    before = timer.looks
    await timer.idle(1_000)
    assert (timer.looks - before, timer.made, len(timer.tasks)) == (0, [], 0)


async def test_an_end_comes_by_the_clock_of_the_loop_when_the_wall_clock_is_set_back(timer):
    timer.wait_until(50, length=1000)
    timer.now = -3600.0
    async with asyncio.timeout(10):
        while not timer.made:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    [(_, update)] = timer.made
    assert timer.state.tables.digests.due(update.at) == [NAME]


async def test_no_end_is_further_off_than_its_interval_is_long(timer):
    timer.now = -3600.0  # it was set back while no worker ran
    timer.wait_until(50, length=50)
    async with asyncio.timeout(10):
        while not timer.made:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_clock_set_back_while_the_log_is_read_delays_nothing_and_does_not_spin(timer):
    timer.now = 1.0
    timer.wait_until()
    timer.now = 0.5
    await timer.idle()
    [(_, update)] = timer.made
    assert timer.state.tables.digests.due(update.at) == [NAME]
    timer.timer.settled(0)
    before = timer.looks
    await timer.idle(1_000)
    assert (timer.looks - before, len(timer.made), len(timer.tasks)) == (0, 1, 0)


async def test_once_stopped_it_makes_nothing_more(timer):
    timer.wait_until()
    timer.timer.stop()
    timer.now = 2.0
    timer.timer.look(0)
    timer.timer.settled(0)
    await timer.idle()
    assert timer.made == []
