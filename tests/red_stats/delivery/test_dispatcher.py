"""The dispatcher between its queues, its table and its endpoints: nothing that may go out is left waiting."""

import asyncio
import time
from functools import partial

import pytest

from red_common.kafka.connection import KafkaError
from red_stats import topics
from red_stats.agents.backlogs import refill
from red_stats.agents.deliveries import Attempted, enqueue_deliveries, settle
from red_stats.delivery import backlog_reader
from red_stats.delivery.dispatcher import Dispatcher
from red_stats.domain.backlogs import Limits
from red_stats.domain.deliveries import Row, url_mark
from red_stats.domain.delivery_kinds import of_alert
from red_stats.domain.retries import Outcome
from red_stats.domain.subscriptions import Client
from red_stats.tables.deliver import DeliverTables
from red_stats.tables.partition_state import Mark
from tests.builders import a_batch, a_record, a_subscription, an_alert

OLD, NEW = "https://old.example/", "https://new.example/"
SCHEDULE = (3600.0, 7200.0)
HOUR = 3_600_000
AMPLE, SMALL = Limits(10_000, 500, 50_000), Limits(endpoint=20, own=2, shared=50)
FAILS, ASKS = Outcome(500, "answered 500", 1), Outcome(503, "answered 503", 1, "3600")


class State:
    partition = 0

    generation = 0

    def __init__(self):
        self.tables = DeliverTables()
        self.marks = {}

    def mark(self, topic):
        return self.marks.get(topic, Mark())


class States:
    """Commits at once, and holds one partition; the outcome of `unknown` transactions is read from Kafka."""

    def __init__(self):
        self.held = {}
        self.is_committing = self.waits = False
        self.unknown = 0
        self.changelogs = {"pending": "pending", "proven": "proven", "backlogs": "backlogs"}

    async def transact(self, partition, build, generation=None):
        state = self.held.get(partition)
        if state is None:
            return False
        while self.is_committing:
            self.waits = True
            await asyncio.sleep(0.01)
        effects = await build(state)
        await asyncio.sleep(0)
        while effects is not None and self.unknown:
            self.unknown -= 1
            for changelog, key, value in effects.records:
                if changelog in self.changelogs:
                    getattr(state.tables, changelog).load(key, value)
            state.marks.update(effects.marks)
            effects = await build(state)
        if effects is not None:
            effects.apply()
            state.marks.update(effects.marks)
        return True


class Subscriptions:
    """Of all clients, as they are now; `unread` are those of which it is told only once it has caught up."""

    def __init__(self):
        self.clients, self.unread = {}, {}

    def get(self, client_id):
        return self.clients.get(client_id)

    def find(self, client_id, subscription_id):
        client = self.clients.get(client_id)
        return client.find(subscription_id) if client else None


class Attempts:
    """POSTs that end as `answers` says for their URL, once `hold` is set; those to `hanging` URLs do not."""

    def __init__(self, subscriptions):
        self.subscriptions, self.posts, self.answers = subscriptions, [], {}
        self.hold = asyncio.Event()
        self.hold.set()
        self.hanging = {}

    async def subscription_of(self, row):
        self.subscriptions.clients.update(self.subscriptions.unread)
        return self.subscriptions.find(row.client_id, row.subscription_id)

    async def send(self, row, subscription, *, is_probe=False, is_proven=False):
        at, url = int(time.time() * 1000), subscription.webhook_url
        self.posts.append((row.id, url))
        await self.hanging.get(url, self.hold).wait()
        outcome = self.answers.get(url, Outcome(200, None, 1))
        return Attempted(row, row.attempt + 1, at, outcome, subscription.version, 0.0, url, is_probe)

    async def close(self):
        pass


class Place:
    """A dispatcher with one subscription of one client; probes of what failed elsewhere go out at once."""

    def __init__(self, limits=AMPLE):
        self.states, self.state, self.subscriptions = States(), State(), Subscriptions()
        self.limits, self.log, self.passes = limits, [], 0
        self.attempts = Attempts(self.subscriptions)
        self.states.held[0] = self.state
        self.dispatcher = Dispatcher(
            states=self.states, subscriptions=self.subscriptions, attempts=self.attempts,
            settle=partial(settle, states=self.states, schedule=SCHEDULE), schedule=SCHEDULE,
            partition_of=lambda _: 0, now=time.time, jitter=lambda: 0.0, limits=limits,
            refill=partial(refill, states=self.states), read_alerts=self.read,
        )  # fmt: skip
        self.move(OLD)

    async def read(self, partition, start, end):
        """The records of red.alerts in that range, ten at a time; of three passes only one works."""
        self.passes += 1
        if self.passes % 3:
            raise KafkaError("away") if self.passes % 3 == 1 else ZeroDivisionError("a bug")
        for first in range(start, end, 10):
            await asyncio.sleep(0)
            yield self.log[first : min(first + 10, end)]

    async def raise_alerts(self, *subscriptions):
        """An alert of each of these (client, subscription), in the log and enqueued."""
        new = [
            a_record(an_alert(subscription_id=name), len(self.log) + n, client.encode())
            for n, (client, name) in enumerate(subscriptions)
        ]
        self.log += new
        await enqueue_deliveries(
            a_batch(topics.ALERTS, 0, new), states=self.states, begin=self.dispatcher.begin,
            push=self.dispatcher.push, limits=self.limits,
        )  # fmt: skip

    def move(self, *urls):
        """The client's subscriptions are these now: one for each URL."""
        present = self.subscriptions.get("c")
        version = present.offset + 2 if present else 1
        made = tuple(a_subscription(id="s", version=version, webhook_url=url) for url in urls)
        self.subscriptions.clients["c"] = Client(client_id="c", offset=version - 1, subscriptions=made)
        self.dispatcher.on_subscription_changed("c")

    def hang(self, client_id, *urls):
        """A client with a subscription for each URL, none of which answers; its rows, 4 for each."""
        made = tuple(
            a_subscription(id=f"{client_id}{n}", version=1, webhook_url=url) for n, url in enumerate(urls)
        )
        self.subscriptions.clients[client_id] = Client(client_id=client_id, offset=0, subscriptions=made)
        self.attempts.hanging |= {url: asyncio.Event() for url in urls}
        return [
            self.put(f"{one.id}/{n}", client_id=client_id, subscription_id=one.id)
            for n in range(4)
            for one in made
        ]

    def posted_to(self, *urls):
        return sum(url in urls for _, url in self.attempts.posts)

    def put(self, name, type="red.alert", **fields):
        now = int(time.time() * 1000)
        row = Row(**{
            "id": name, "webhook_id": f"msg_{name}", "alert_id": name, "client_id": "c",
            "subscription_id": "s", "version": 1, "type": type, "timestamp": "2026-01-01T00:00:00.000Z",
            "data": "{}", "since": now, "due": now, **fields,
        })  # fmt: skip
        self.state.tables.pending.put(name, row)
        return row

    def push(self, name, **fields):
        self.dispatcher.push(0, [self.put(name, **fields)])

    async def assigned_again(self):
        self.states.held.pop(0)
        self.dispatcher.on_revoked(self.state)
        self.states.held[0] = self.state
        await self.dispatcher.on_assigned(self.state)

    async def until(self, condition):
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def until_settled(self):
        await self.until(lambda: not self.dispatcher._tasks)


@pytest.fixture
async def place():
    place = Place()
    yield place
    await place.dispatcher.stop()


async def test_what_failed_in_another_process_is_probed_soon_after_it_was_assigned(place):
    place.put("a", attempt=2, due=int(time.time() * 1000) + HOUR, wait=HOUR, tried=url_mark(OLD))
    await place.dispatcher.on_assigned(place.state)
    await place.until(lambda: place.attempts.posts == [("a", OLD)])


async def test_how_an_endpoint_failed_is_known_also_of_a_delivery_whose_row_is_being_committed(place):
    place.attempts.answers[OLD] = FAILS
    row = place.put("a")
    place.state.tables.pending.put("a", None)
    place.states.is_committing = True
    place.dispatcher.begin(0, [row])
    await place.until(
        lambda: place.states.waits
    )  # the POST has ended, its outcome waits for the row's commit
    place.state.tables.pending.put("a", row)
    place.states.is_committing = False
    await place.until_settled()
    [queue] = place.dispatcher._queues.values()
    assert queue.has_failed
    assert queue.next_at() - place.dispatcher._queue_time() < 5_000


async def test_what_one_url_asked_for_holds_for_no_other(place):
    place.attempts.answers[OLD] = ASKS
    place.push("t", type="red.test")
    await place.until_settled()
    place.move(NEW)
    place.push("a")
    await place.until(lambda: ("a", NEW) in place.attempts.posts)


async def test_a_url_that_changes_while_a_post_is_under_way_gets_that_delivery_at_once(place):
    place.attempts.answers[OLD] = ASKS
    place.attempts.hold.clear()
    place.push("a")
    await place.until(lambda: place.attempts.posts)
    place.move(NEW)
    place.attempts.hold.set()
    await place.until(lambda: place.attempts.posts == [("a", OLD), ("a", NEW)])
    await place.until_settled()
    assert not place.state.tables.pending


async def test_retry_after_holds_after_a_rebalance_for_new_alerts_too(place):
    place.attempts.answers[OLD] = ASKS
    place.push("a")
    await place.until_settled()
    await place.assigned_again()
    place.push("b")
    await place.until_settled()
    await asyncio.sleep(0.1)  # long enough for a POST that should not be
    assert place.attempts.posts == [("a", OLD)]
    place.move(NEW)
    await place.until(lambda: sorted(place.attempts.posts[1:]) == [("a", NEW), ("b", NEW)])


async def test_nothing_is_kept_of_an_endpoint_that_has_no_delivery_or_no_subscription(place):
    place.push("a")
    await place.until_settled()
    assert place.dispatcher._queues == {}
    place.attempts.answers[OLD] = FAILS
    place.push("t", type="red.test")
    await place.until_settled()
    assert place.dispatcher._queues == {}
    place.push("b")
    await place.until(lambda: len(place.attempts.posts) == 3)
    await place.until_settled()
    assert list(place.dispatcher._queues) == [(0, "c", "s")]  # how it failed is still needed
    place.move()
    await place.until_settled()
    assert (place.dispatcher._queues, place.state.tables.pending) == ({}, {})


HUNG = [f"https://hung-{number}.example/" for number in range(100)]
SHARED = [f"https://shared.example/{number}" for number in range(8)]


async def test_a_client_whose_receivers_hang_delays_no_webhook_of_another(place):
    rows = place.hang("h", *HUNG)
    place.dispatcher.begin(0, rows[:100])
    place.dispatcher.push(0, rows)
    await place.until(lambda: place.posted_to(*HUNG) >= 32)

    place.push("a")

    await place.until(lambda: ("a", OLD) in place.attempts.posts)
    assert place.posted_to(*HUNG) == 32


async def test_what_waits_for_room_goes_out_as_posts_end_each_once(place):
    rows = place.hang("h", *HUNG)
    place.dispatcher.push(0, rows)
    for hanging in place.attempts.hanging.values():
        hanging.set()
    await place.until(lambda: not place.state.tables.pending)
    assert sorted(name for name, _ in place.attempts.posts) == sorted(row.id for row in rows)


async def test_a_delivery_that_waits_for_a_full_host_goes_out_at_once_when_its_url_moves(place):
    place.dispatcher.push(0, place.hang("h", *SHARED))
    place.move("https://SHARED.example/mine")
    place.push("a")
    await place.until(lambda: place.posted_to(*SHARED) == 32)
    assert len(place.attempts.posts) == 32

    place.move(NEW)

    await place.until(lambda: ("a", NEW) in place.attempts.posts)


async def test_a_delivery_whose_url_was_not_known_yet_has_no_more_than_the_share_of_its_host(place):
    place.dispatcher.push(0, place.hang("h", *SHARED))
    rows = place.hang("late", SHARED[0])
    place.subscriptions.unread["late"] = place.subscriptions.clients.pop("late")
    await place.until(lambda: place.posted_to(*SHARED) == 32)
    place.dispatcher.push(0, rows)
    await place.until(lambda: place.subscriptions.get("late"))
    await asyncio.sleep(0.05)  # long enough for a POST that should not be
    assert len(place.attempts.posts) == 32

    for hanging in place.attempts.hanging.values():
        hanging.set()

    await place.until(lambda: not place.state.tables.pending)


async def test_what_waits_for_room_goes_out_after_a_rebalance_too(place):
    place.dispatcher.push(0, place.hang("h", *HUNG))
    await place.until(lambda: place.posted_to(*HUNG) == 32)
    await place.assigned_again()
    place.push("a")
    await place.until(lambda: ("a", OLD) in place.attempts.posts)
    assert place.posted_to(*HUNG) == 32

    for hanging in place.attempts.hanging.values():
        hanging.set()

    await place.until(lambda: not place.state.tables.pending)


async def test_a_client_deleted_while_it_waits_for_room_leaves_nothing_behind(place):
    place.dispatcher.push(0, place.hang("h", *HUNG))
    await place.until(lambda: place.posted_to(*HUNG) == 32)
    del place.subscriptions.clients["h"]
    place.dispatcher.on_subscription_changed("h")
    for hanging in place.attempts.hanging.values():
        hanging.set()
    await place.until(lambda: not place.state.tables.pending)
    await place.until_settled()
    assert place.posted_to(*HUNG) == 32
    assert (place.dispatcher._queues, place.dispatcher._shares._waiting) == ({}, {})


async def test_an_alert_whose_commit_was_unknown_and_stands_is_sent(place):
    place.attempts.hold.clear()
    place.push("a")  # the next ones wait behind it, and are not begun with their transaction
    for n in range(4):
        place.push(f"more-{n}")
    place.states.unknown = 1
    dispatcher = place.dispatcher
    alert = an_alert(subscription_id="s")
    batch = a_batch(topics.ALERTS, 0, [a_record(alert, 0, b"c")])

    await enqueue_deliveries(
        batch, states=place.states, begin=dispatcher.begin, push=dispatcher.push, limits=AMPLE
    )

    place.attempts.hold.set()
    await place.until(lambda: not place.state.tables.pending)
    assert len(place.attempts.posts) == 6


async def test_a_delivery_whose_failure_was_recorded_by_an_unknown_transaction_is_tried_again(place):
    place.attempts.answers[OLD] = FAILS
    place.states.unknown = 1
    place.push("a")
    await place.until_settled()
    assert place.state.tables.pending.get("a").attempt == 1
    [queue] = place.dispatcher._queues.values()
    assert queue.next_at() - place.dispatcher._queue_time() < 5_000


async def test_what_an_unknown_transaction_resumed_is_sent(place):
    now = int(time.time() * 1000)
    place.put("a", held=True, due=now + HOUR, wait=HOUR)
    place.states.unknown = 1
    await place.dispatcher.on_assigned(place.state)
    await place.until(lambda: place.attempts.posts == [("a", OLD)])


@pytest.fixture
async def small(monkeypatch):
    """A place whose endpoints have 20 rows each, and whose clients have 50 and two for each endpoint."""
    monkeypatch.setattr(backlog_reader, "RETRY_SECONDS", 0.01)
    place = Place(SMALL)
    yield place
    await place.dispatcher.stop()


async def test_alerts_beyond_the_rows_of_an_endpoint_wait_in_the_log_and_go_out_each_once(small):
    small.attempts.hold.clear()
    await small.raise_alerts(*[("c", "s")] * 300)
    assert len(small.state.tables.pending) == 20
    assert small.state.tables.backlogs["s"].alerts == 280

    small.attempts.hold.set()

    await small.until(lambda: not small.state.tables.pending and not small.state.tables.backlogs)
    posted = [name for name, _ in small.attempts.posts]
    assert sorted(posted) == sorted(of_alert(r.key, r.value, r.timestamp).id for r in small.log)


async def test_a_pass_that_has_read_much_commits_what_it_has_found(small, monkeypatch):
    """Else an endpoint whose alerts stand at the end of the log would hold up all the others."""
    monkeypatch.setattr(backlog_reader, "PASS_RECORDS", 20)
    small.attempts.hold.clear()
    await small.raise_alerts(*[("c", "s")] * 25, *[("other", "x")] * 400, *[("c", "s")] * 5)
    small.attempts.hold.set()
    await small.until(
        lambda: "s" not in small.state.tables.backlogs and not small.state.tables.pending.of.get("s")
    )
    assert small.posted_to(OLD) == 30
    assert small.passes > 3 * 10


async def test_endpoints_that_fail_take_no_rows_from_another_endpoint_of_their_client(small):
    for row in small.hang("h", *HUNG[:30]):
        small.state.tables.pending.put(row.id, None)
    small.attempts.hanging.clear()
    small.attempts.answers = dict.fromkeys(HUNG, FAILS)
    fine = a_subscription(id="fine", version=1, webhook_url=NEW)
    client = small.subscriptions.clients["h"]
    small.subscriptions.clients["h"] = Client(
        client_id="h", offset=0, subscriptions=(*client.subscriptions, fine)
    )
    await small.raise_alerts(*[("h", f"h{n % 30}") for n in range(900)])
    assert len(small.state.tables.pending) <= SMALL.shared + 30 * SMALL.own

    for _ in range(10):
        await small.raise_alerts(*[("h", "fine")] * 30, *[("h", f"h{n}") for n in range(30)])
        assert len(small.state.tables.pending) <= SMALL.shared + 31 * SMALL.own

    await small.until(lambda: small.posted_to(NEW) == 300)
    assert "fine" not in small.state.tables.backlogs


async def test_what_waits_in_the_log_is_read_after_a_rebalance_too(small):
    small.attempts.hold.clear()
    await small.raise_alerts(*[("c", "s")] * 100)
    for name in list(small.state.tables.pending):  # as after a crash behind the outcomes of all of them
        small.state.tables.pending.put(name, None)

    small.attempts.hold.set()
    await small.assigned_again()

    await small.until(lambda: not small.state.tables.pending and not small.state.tables.backlogs)
    waited = {of_alert(r.key, r.value, r.timestamp).id for r in small.log[20:]}
    assert waited <= {name for name, _ in small.attempts.posts}


async def test_what_waits_in_the_log_for_a_deleted_subscription_is_cancelled(small):
    small.attempts.hold.clear()
    await small.raise_alerts(*[("c", "s")] * 100)
    small.move()
    small.attempts.hold.set()
    await small.until(lambda: not small.state.tables.pending and not small.state.tables.backlogs)
    assert len(small.attempts.posts) <= 4


async def test_rows_of_an_unknown_outcome_that_waited_in_the_log_go_out(small):
    small.attempts.hold.clear()
    await small.raise_alerts(*[("c", "s")] * 60)
    small.states.unknown = 40
    small.attempts.hold.set()
    await small.until(lambda: not small.state.tables.pending and not small.state.tables.backlogs)
    assert {of_alert(r.key, r.value, r.timestamp).id for r in small.log} <= {
        name for name, _ in small.attempts.posts
    }
