"""A dispatcher between fakes of its table, its log, its subscriptions and its endpoints."""

import asyncio
import time
from functools import partial

from red_common.kafka.connection import KafkaError
from red_stats import topics
from red_stats.agents.backlogs import refill
from red_stats.agents.deliveries import enqueue_deliveries
from red_stats.agents.settling import settle
from red_stats.agents.updates import Attempted
from red_stats.delivery.dispatcher import Dispatcher
from red_stats.domain.backlogs import Limits
from red_stats.domain.deliveries import Row
from red_stats.domain.erasure import NEVER, Erased
from red_stats.domain.failing_endpoints import HealthRules
from red_stats.domain.retries import Outcome
from red_stats.domain.subscriptions import Client
from red_stats.tables.deliver import DeliverTables
from red_stats.tables.partition_state import Mark
from tests.builders import a_batch, a_record, a_subscription, an_alert

OLD, NEW = "https://old.example/", "https://new.example/"
HUNG = [f"https://hung-{number}.example/" for number in range(100)]
SCHEDULE = (3600.0, 7200.0)
RULES = HealthRules(disable_ms=5 * 86_400_000, probes=(3600.0, 21600.0, 86400.0))
AMPLE = Limits(endpoint=10_000, own=500, shared=50_000)
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
        self.written = []
        self.unknown = 0
        self.changelogs = {name: name for name in ("pending", "proven", "backlogs", "digests", "failing")}

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
            self.written += effects.records
            effects.apply()
            state.marks.update(effects.marks)
        return True


class Subscriptions:
    """Of all clients, as they are now; `unread` are those of which it is told only once it has caught up."""

    def __init__(self):
        self.clients, self.unread, self.erased = {}, {}, set()
        self.follower = self

    def get(self, client_id):
        return self.clients.get(client_id)

    def erased_of(self, client_id):
        return self.clients[client_id].erased if client_id in self.erased else NEVER

    def all_of(self, client_id):
        client = self.clients.get(client_id)
        return client.subscriptions if client else ()

    def find(self, client_id, subscription_id):
        client = self.clients.get(client_id)
        return client.find(subscription_id) if client else None

    async def until_known(self, rows):
        self.asked = list(rows)

    async def caught_up(self):
        self.clients.update(self.unread)


class Attempts:
    """POSTs that end, once `hold` is set, as `outcomes` says for their row or else `answers` for their URL.

    Those to `hanging` URLs do not end.
    """

    def __init__(self, subscriptions):
        self.subscriptions, self.posts, self.answers, self.outcomes = subscriptions, [], {}, {}
        self.hold = asyncio.Event()
        self.hold.set()
        self.hanging = {}

    async def subscription_of(self, row):
        await self.subscriptions.caught_up()
        return self.subscriptions.find(row.client_id, row.subscription_id)

    async def send(self, row, subscription, *, is_probe=False, is_proven=False):
        at, url = int(time.time() * 1000), subscription.webhook_url
        self.posts.append((row.id, url))
        await self.hanging.get(url, self.hold).wait()
        outcome = self.outcomes.get(row.id) or self.answers.get(url, Outcome(200, None, 1))
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
            settle=partial(
                settle, states=self.states, schedule=SCHEDULE, find=self.subscriptions.find, rules=RULES,
                subscriptions_of=self.subscriptions.all_of, erased_of=self.subscriptions.erased_of,
            ), schedule=SCHEDULE,
            partition_of=lambda _: 0, now=time.time, jitter=lambda: 0.0, limits=limits,
            refill=partial(refill, states=self.states), read_alerts=self.read, end_of=self.end_of,
        )  # fmt: skip
        self.move(OLD)

    async def end_of(self, topic, partition):
        """Where red.alerts ends."""
        return len(self.log)

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
            a_record(
                an_alert(subscription_id=name, position=f"0:{len(self.log) + n}"),
                len(self.log) + n,
                client.encode(),
            )
            for n, (client, name) in enumerate(subscriptions)
        ]
        self.log += new
        await enqueue_deliveries(
            a_batch(topics.ALERTS, 0, new), states=self.states, begin=self.dispatcher.begin,
            push=self.dispatcher.push, limits=self.limits, find=self.subscriptions.find,
            until_known=self.subscriptions.until_known, erased_of=self.subscriptions.erased_of,
        )  # fmt: skip

    def move(self, *urls):
        """The client's subscriptions are these now: one for each URL."""
        present = self.subscriptions.get("c")
        version = present.offset + 2 if present else 1
        made = tuple(a_subscription(id="s", version=version, webhook_url=url) for url in urls)
        self.subscriptions.clients["c"] = Client(client_id="c", offset=version - 1, subscriptions=made)
        self.dispatcher.on_subscription_changed("c")

    def change(self, **fields):
        """The client's subscription is another version now."""
        present = self.subscriptions.get("c")
        version = present.offset + 2
        made = a_subscription(**{"id": "s", "webhook_url": OLD, **fields, "version": version})
        self.subscriptions.clients["c"] = Client(client_id="c", offset=version - 1, subscriptions=(made,))
        self.dispatcher.on_subscription_changed("c")

    def erase(self, before, *urls, name="new"):
        """The client is erased up to an offset; its subscriptions are these now, all of one name."""
        self.subscriptions.erased.add("c")
        version = self.subscriptions.get("c").offset + 2
        made = tuple(a_subscription(id=name, version=version, webhook_url=url) for url in urls)
        self.subscriptions.clients["c"] = Client(
            client_id="c", offset=version - 1, subscriptions=made,
            erased=Erased(before, int(time.time() * 1000)),
        )  # fmt: skip
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
        async with asyncio.timeout(60):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def until_settled(self):
        await self.until(lambda: not self.dispatcher._tasks)
