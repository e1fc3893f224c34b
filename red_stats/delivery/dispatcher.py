"""Sends what is due: a queue for each endpoint, timers, and shares of the POSTs in flight.

HTTP never runs inside an agent. What is pending is in the rows of the table; everything kept here (queues,
timers, deliveries in flight) can be lost and is rebuilt from the rows of the partitions held. A crash
between a POST and its commit sends the same webhook-id again.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from red_stats.agents.updates import (
    Attempted,
    ClientErased,
    DigestsDue,
    Expire,
    SubscriptionChanged,
    Update,
)
from red_stats.delivery.attempt import AttemptSender
from red_stats.delivery.backlog_reader import BacklogReader, Read, Refill
from red_stats.delivery.digest_timer import DigestTimer
from red_stats.delivery.endpoint_queue import EndpointQueue
from red_stats.delivery.outcome_batches import OutcomeBatcher, Settle
from red_stats.delivery.probe_timer import ProbeTimer
from red_stats.delivery.shares import Shares
from red_stats.delivery.tasks import Tasks
from red_stats.delivery.timers import Timers
from red_stats.domain.backlogs import Limits
from red_stats.domain.deliveries import Row, has_moved, url_mark
from red_stats.domain.delivery_kinds import DeliveryKind, kind_of, may_go
from red_stats.domain.erasure import NEVER
from red_stats.domain.retries import Outcome, retry_after_seconds, verdict
from red_stats.domain.subscriptions import Subscription
from red_stats.domain.urls import host_of
from red_stats.kafka.subscription_cache import SubscriptionCache
from red_stats.tables.deliver import DeliverTables
from red_stats.tables.partition_state import PartitionState, PartitionStates

log = logging.getLogger(__name__)

STOP_SECONDS: Final = 3.0


class Key(NamedTuple):
    """An endpoint: a subscription of a client whose records are in the partition."""

    partition: int
    client_id: str
    subscription_id: str


def key_of(partition: int, row: Row) -> Key:
    """The endpoint that a row is for."""
    return Key(partition, row.client_id, row.subscription_id)


class Dispatcher:
    """The queues of all endpoints that this process serves.

    Args:
        states: the partitions that role deliver holds.
        subscriptions: of all clients, as they are now.
        attempts: makes the POSTs.
        settle: commits updates of deliveries.
        refill: commits rows for alerts that waited in the log.
        read_alerts: (partition, start, end) -> the records of a range of red.alerts, in steps.
        end_of: (topic, partition) -> the end of the log, one past the last offset.
        limits: how many deliveries have rows.
        schedule: seconds between attempts.
        partition_of: client_id -> partition.
        now: the wall clock, in seconds since 1970.
        jitter: a random number in 0..1.
        monotonic: the clock of the queues, in seconds.
    """

    def __init__(
        self,
        *,
        states: PartitionStates[DeliverTables],
        subscriptions: SubscriptionCache,
        attempts: AttemptSender,
        settle: Settle,
        refill: Refill,
        read_alerts: Read,
        end_of: Callable[[str, int], Awaitable[int]],
        limits: Limits,
        schedule: Sequence[float],
        partition_of: Callable[[str], int],
        now: Callable[[], float],
        jitter: Callable[[], float],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._states = states
        self._subscriptions = subscriptions
        self._attempts = attempts
        self._schedule = schedule
        self._partition_of = partition_of
        self._now = now
        self._monotonic = monotonic
        self._jitter = jitter
        self._queues: dict[Key, EndpointQueue] = {}
        self._applied: dict[str, dict[str, int]] = {}  # by client and subscription: the version its rows know
        self._timers: Timers[Key] = Timers(self._pump)
        self._shares: Shares[Key] = Shares()
        self._tasks = Tasks()
        self._outcomes = OutcomeBatcher(
            states=states,
            settle=settle,
            shares=self._shares,
            push=self.push,
            spawn=self._tasks.spawn,
            on_settled=self._settled,
        )
        self._backlogs = BacklogReader(
            states=states,
            read=read_alerts,
            refill=refill,
            push=self.push,
            spawn=self._tasks.spawn,
            limits=limits,
            erased_of=subscriptions.erased_of,
        )
        self._digests = DigestTimer(
            states=states,
            end_of=end_of,
            read_alerts=read_alerts,
            add=self._outcomes.add,
            spawn=self._tasks.spawn,
            now=now,
        )
        self._probes = ProbeTimer(states=states, add=self._outcomes.add, now=now)
        self._stopping = False

    # Called from outside

    async def on_assigned(self, state: PartitionState[DeliverTables]) -> None:
        """Queue everything pending in a partition that was assigned, and probe endpoints that failed."""
        tables = state.tables
        for client_id in set[str]().union(*tables.clients):
            self._drop_erased(state, client_id)
        rows = list(state.tables.pending.values())
        ahead = self._ahead()
        for row in rows:
            queue = self._queue(key_of(state.partition, row))
            if row.attempt and not row.held:
                queue.suspect(self._queue_time(), self._jitter)
            if row.asked and not self._is_elsewhere(row):
                queue.leave_alone(row.asked - ahead, row.tried)
        self.push(state.partition, rows)
        waits = {
            name: next(iter(waiting.values())).client_id for name, waiting in state.tables.pending.of.items()
        }
        waits |= {name: interval.client_id for name, interval in tables.digests.items()}
        waits |= {name: endpoint.client_id for name, endpoint in tables.failing.items()}
        unknown = []  # or what is told of them may be that of an older version
        for subscription_id, client_id in waits.items():
            key = Key(state.partition, client_id, subscription_id)
            if (found := self._find(key)) is not None and subscription_id not in tables.failing:
                self._apply_subscription(key, found)
            else:
                unknown.append(key)
        if unknown:
            self._tasks.spawn(self._apply_once_read(unknown))

    def on_revoked(self, state: PartitionState[DeliverTables]) -> None:
        """Send nothing more from a partition that was revoked.

        POSTs under way end; their outcomes count only if the partition comes back with the row unchanged.
        """
        for client_id in [one for one in self._applied if self._partition_of(one) == state.partition]:
            del self._applied[client_id]
        for key in [key for key in self._queues if key.partition == state.partition]:
            self._queues[key].clear()
            self._shares.forget(key)
            if not self._queues[key].is_sending:
                del self._queues[key]
            self._timers.cancel(key)

    def begin(self, partition: int, rows: Iterable[Row]) -> None:
        """Start the POSTs of rows whose transaction is under way, where no other delivery waits."""
        for row in rows:
            key = key_of(partition, row)
            queue = self._queue(key)
            is_free = queue.is_free(self._queue_time()) and self._shares.has_room(*self._way(key))
            if is_free and row.id not in self._shares and not self._stopping:
                self._start(key, queue, row)

    def push(self, partition: int, rows: Iterable[Row], ahead: Mapping[str, int] | None = None) -> None:
        """Queue rows until they are due; called after each commit that made or changed them.

        `ahead` (ms, by id) is how far the wall clock was ahead of the queues' clock when a row was planned,
        if that was before this call.
        """
        now = self._ahead()
        touched = dict[Key, None]()
        for row in rows:
            key = key_of(partition, row)
            queue = self._queue(key)
            self._wait(queue, row, (ahead or {}).get(row.id, now))
            if self._is_elsewhere(row):  # since before its POST to the old URL ended
                self._note_subscription(key, self._find(key))
            touched[key] = None
        self._pump(*touched)
        self._backlogs.look(partition)
        self._digests.look(partition)
        self._probes.look(partition)

    def on_subscription_changed(self, client_id: str) -> None:
        """Resume, hold or cancel what waits for the subscriptions of a client that have changed."""
        partition = self._partition_of(client_id)
        state = self._states.held.get(partition)
        if state is None:
            return
        self._drop_erased(state, client_id)
        tables, queued = state.tables, self._queued(partition, client_id)
        held = (tables.pending.of, queued, tables.digests, tables.failing)
        client = self._subscriptions.get(client_id)
        known = {s.id: s for s in client.subscriptions} if client else {}
        applied = self._applied.get(client_id, {})
        for subscription_id, subscription in known.items():
            if applied.get(subscription_id) == subscription.version:
                continue  # a client may have thousands of rows at each of its endpoints
            if subscription.holds or any(subscription_id in table for table in held):
                self._apply_subscription(Key(partition, client_id, subscription_id), subscription)
        waiting = queued | applied.keys()
        for table in (tables.proven, tables.digests, tables.failing):
            waiting.update(table.of.get(client_id, ()))
        for subscription_id in waiting - known.keys():
            self._apply_subscription(Key(partition, client_id, subscription_id), None)

    async def stop(self) -> None:
        """Send nothing more; POSTs under way get STOP_SECONDS to end."""
        self._stopping = True
        self._backlogs.stop()
        self._digests.stop()
        self._probes.stop()
        self._timers.cancel_all()
        await self._tasks.stop(STOP_SECONDS)
        await self._attempts.close()

    def _drop_erased(self, state: PartitionState[DeliverTables], client_id: str) -> None:
        """Have what waits, and what was proven, from before a client was erased dropped."""
        client = self._subscriptions.get(client_id)
        if client is None or self._subscriptions.erased_of(client_id) == NEVER:
            return
        if any(client_id in clients for clients in state.tables.clients):
            known = frozenset(s.id for s in client.subscriptions)
            self._outcomes.add(state.partition, ClientErased(client_id, known))

    # Endpoints

    def _queued(self, partition: int, client_id: str) -> set[str]:
        """The subscriptions of a client that have queues."""
        return {key.subscription_id for key in self._queues if key[:2] == (partition, client_id)}

    def _queue(self, key: Key) -> EndpointQueue:
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = EndpointQueue(self._schedule)
        return queue

    def _queue_time(self) -> int:
        return int(self._monotonic() * 1000)

    def _ahead(self) -> int:
        return int(self._now() * 1000) - self._queue_time()

    def _wait(self, queue: EndpointQueue, row: Row, ahead: int) -> None:
        """Queue a row until it is due by the clock that planned it, so that setting the clock moves nothing.

        A new row is due at once: its time is Kafka's, and Kafka's clock may differ.
        """
        now = self._queue_time()
        queue.push(row.id, row.due, now + row.left(now + ahead), at_once=kind_of(row).at_once)

    def _start(self, key: Key, queue: EndpointQueue, row: Row, *, is_probe: bool = False) -> None:
        queue.began(at_once=kind_of(row).at_once)
        self._shares.begin(row.id, *self._way(key), self._ahead())
        self._tasks.spawn(self._send(key, row, is_probe))

    def _pump(self, *keys: Key) -> None:
        """Start what may go out now, by turns, and set the timers of these queues for the rest."""
        for key in keys:
            self._line_up(key)
        while (turn := self._shares.next_key()) is not None:
            self._start_one(turn)
            self._line_up(turn)

    def _line_up(self, key: Key) -> None:
        """Have a queue wait for its turn if something is due, else for its time."""
        queue = self._queues.get(key)
        if queue is None or self._stopping or key.partition not in self._states.held:
            self._shares.forget(key)
            return
        now = self._queue_time()
        at = queue.next_at()
        if at is not None and at <= now:
            self._timers.cancel(key)
            self._shares.wait(key, *self._way(key))
        else:
            self._shares.forget(key)
            self._set_timer(key, queue, now)

    def _start_one(self, key: Key) -> None:
        """Start the first delivery of a queue that may go out now."""
        queue, state = self._queues.get(key), self._states.held.get(key.partition)
        if queue is None or state is None or self._stopping or not self._shares.has_room(*self._way(key)):
            return
        now = self._queue_time()
        while (popped := queue.pop(now)) is not None:
            row = state.tables.pending.get(popped.delivery_id)
            if row is None or row.due != popped.due or row.id in self._shares:
                continue  # stale: it has ended, has another due time, or is in flight
            if row.held and row.due > now + self._ahead() + 1:  # a probe, or the clock was set back
                queue.rest()
                self._wait(queue, row, self._ahead())
                continue
            if row.held:
                self._note_subscription(key, self._find(key))
                continue
            self._start(key, queue, row, is_probe=popped.is_probe)
            return

    def _find(self, key: Key) -> Subscription | None:
        return self._subscriptions.find(key.client_id, key.subscription_id)

    def _way(self, key: Key) -> tuple[str, str]:
        """Whose shares a POST to an endpoint takes: the client's and, as far as it is known, the host's."""
        found = self._find(key)
        return key.client_id, host_of(found.webhook_url) if found is not None else ""

    def _set_timer(self, key: Key, queue: EndpointQueue, now: int) -> None:
        self._timers.cancel(key)
        at = queue.next_at()
        if at is not None:
            self._timers.set(key, at - now)
        elif not queue and not self._is_needed(key):
            self._queues.pop(key, None)
        elif queue.asked_until > now:
            self._timers.set(key, queue.asked_until - now)

    def _is_needed(self, key: Key) -> bool:
        """Whether an empty queue still says how its endpoint behaves: to rows under way, or to new ones."""
        state, queue = self._states.held.get(key.partition), self._queues[key]
        has_rows = state is not None and key.subscription_id in state.tables.pending.of
        return (has_rows and queue.has_failed) or queue.asked_until > self._queue_time()

    def _is_elsewhere(self, row: Row) -> bool:
        """Whether the subscription has another URL now than the one that did not take the row."""
        found = self._subscriptions.find(row.client_id, row.subscription_id)
        return found is not None and found.enabled and has_moved(row, found)

    async def _send(self, key: Key, row: Row, is_probe: bool) -> None:
        """One attempt; it leaves the queue when the POST ends, and flight when its outcome is committed."""
        try:
            subscription = await self._attempts.subscription_of(row)
            if subscription is None or not may_go(row, subscription):
                self._shares.end([row.id])
                self._note_settled(key)
                self._apply_subscription(key, subscription)
            elif not self._shares.move(row.id, host_of(subscription.webhook_url)):
                self._put_back(key, row, is_probe)  # it has changed, and the new host has no room
            else:
                self._pump()  # the old host, if it had another one, has room now
                state = self._states.held.get(key.partition)
                url = subscription.webhook_url
                proven = state is not None and state.tables.proven.has(key.subscription_id, url)
                attempted = await self._attempts.send(row, subscription, is_probe=is_probe, is_proven=proven)
                self._observe(key, url, attempted.outcome, kind_of(row))
                self._outcomes.add(key.partition, attempted)
        except Exception as error:  # Kafka is away, or a bug: the row stays and is retried
            log.warning("delivery %s could not be sent, retrying: %r", row.id, error)
            await asyncio.sleep(1)
            self._put_back(key, row, is_probe)
        finally:
            if (queue := self._queues.get(key)) is not None:
                queue.ended()
            self._pump(key)

    def _put_back(self, key: Key, row: Row, is_probe: bool) -> None:
        """Queue a row again whose POST came to nothing."""
        ahead = self._shares.end([row.id]).get(row.id, self._ahead())
        if (queue := self._queues.get(key)) is not None:
            queue.settled()
            if is_probe:
                queue.suspect(self._queue_time(), self._jitter)
            self._wait(queue, row, ahead)

    def _settled(self, partition: int, updates: Sequence[Update]) -> None:
        for update in updates:
            if isinstance(update, Attempted):
                self._note_settled(key_of(partition, update.row))
            elif isinstance(update, DigestsDue):
                self._digests.settled(partition)

    def _note_settled(self, key: Key) -> None:
        queue = self._queues.get(key)
        if queue is not None:
            queue.settled()
        self._pump(key)  # it may be empty now, and there is room in flight

    def _observe(self, key: Key, url: str, outcome: Outcome, kind: DeliveryKind) -> None:
        """Tell the queue how its endpoint answered; while its circuit breaker is open, expire old rows.

        From a test event that fails, and from what goes to a disabled subscription, it only hears until when
        to leave the endpoint alone.
        """
        queue, present = self._queues.get(key), self._find(key)
        if queue is None or (present is not None and present.webhook_url != url):
            return  # what the old URL answers says nothing about the new one
        now = self._now()
        is_taken = verdict(outcome) == "delivered"
        if kind.though_disabled or (kind.at_once and not is_taken):
            asked = self._queue_time() + int(1000 * retry_after_seconds(outcome, now))
            queue.leave_alone(asked, url_mark(url))
            return
        if is_taken:
            queue.succeeded(self._queue_time())
            return
        queue.failed(self._queue_time(), url, retry_after_seconds(outcome, now), self._jitter)
        if queue.is_open:
            self._outcomes.add(key.partition, Expire(key.subscription_id, int(now * 1000)))

    def _apply_subscription(self, key: Key, subscription: Subscription | None) -> None:
        self._note_subscription(key, subscription)
        queue = self._queues.get(key)
        if subscription is None and queue is not None and not queue.is_sending:
            queue.clear()
            self._queues.pop(key)
            self._timers.cancel(key)
        self._pump(key)

    async def _apply_once_read(self, keys: Iterable[Key]) -> None:
        """Apply subscriptions that are not known: they were deleted while nobody looked, or not read yet."""
        while not self._stopping:
            try:
                await self._subscriptions.follower.caught_up()
            except Exception as error:  # Kafka is away
                log.warning("subscriptions are not read, trying again: %r", error)
                await asyncio.sleep(1)
            else:
                for key in keys:
                    self._apply_subscription(key, self._find(key))
                return

    def _note_subscription(self, key: Key, subscription: Subscription | None) -> None:
        """Tell the queue what the subscription is now, and have its rows changed accordingly."""
        applied = self._applied.setdefault(key.client_id, {})
        if subscription is not None:
            applied[key.subscription_id] = subscription.version
        else:
            applied.pop(key.subscription_id, None)
        if not applied:
            del self._applied[key.client_id]
        queue = self._queues.get(key)
        if queue is not None:
            queue.moved_to(subscription.webhook_url if subscription else "")
            if subscription is not None and subscription.enabled:
                queue.wake()
            else:
                queue.rest()
        changed = SubscriptionChanged(
            key.client_id, key.subscription_id, subscription, int(self._now() * 1000)
        )
        self._outcomes.add(key.partition, changed)
