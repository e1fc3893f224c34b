"""Sends what is due: a queue for each endpoint, timers, and a limit on POSTs in flight.

HTTP never runs inside an agent. What is pending is in the rows of the table; everything kept here (queues,
timers, deliveries in flight) can be lost and is rebuilt from the rows of the partitions held. A crash
between a POST and its commit sends the same webhook-id again.
"""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final

from red_stats.agents.deliveries import Attempted, Expire, SubscriptionChanged, Update
from red_stats.delivery.attempt import AttemptSender
from red_stats.delivery.endpoint_queue import EndpointQueue
from red_stats.delivery.in_flight import InFlight
from red_stats.delivery.outcome_batches import OutcomeBatcher, Settle
from red_stats.domain.deliveries import Row, url_mark
from red_stats.domain.delivery_kinds import kind_of
from red_stats.domain.retries import Outcome, retry_after_seconds, verdict
from red_stats.domain.subscriptions import Subscription
from red_stats.kafka.subscription_cache import SubscriptionCache
from red_stats.tables.deliver import DeliverTables
from red_stats.tables.partition_state import PartitionState, PartitionStates

log = logging.getLogger(__name__)

MAX_IN_FLIGHT: Final = 256
STOP_SECONDS: Final = 3.0

Key = tuple[int, str]  # partition, subscription_id


class Dispatcher:
    """The queues of all endpoints that this process serves.

    Args:
        states: the partitions that role deliver holds.
        subscriptions: of all clients, as they are now.
        attempts: makes the POSTs.
        settle: commits updates of deliveries.
        schedule: seconds between attempts.
        partition_of: client_id -> partition.
        now: the wall clock, in seconds since 1970.
        jitter: a random number in 0..1.
        monotonic: the clock of the queues, in seconds.
        max_in_flight: at most so many POSTs at a time.
    """

    def __init__(
        self,
        *,
        states: PartitionStates[DeliverTables],
        subscriptions: SubscriptionCache,
        attempts: AttemptSender,
        settle: Settle,
        schedule: Sequence[float],
        partition_of: Callable[[str], int],
        now: Callable[[], float],
        jitter: Callable[[], float],
        monotonic: Callable[[], float] = time.monotonic,
        max_in_flight: int = MAX_IN_FLIGHT,
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
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._crowded: deque[Key] = deque()  # queues that wait for room in flight
        self._in_flight = InFlight(max_in_flight)
        self._tasks: set[asyncio.Task[None]] = set()
        self._outcomes = OutcomeBatcher(
            states=states,
            settle=settle,
            in_flight=self._in_flight,
            push=self.push,
            spawn=self._spawn,
            on_settled=self._settled,
        )
        self._stopping = False

    # Called from outside

    async def on_assigned(self, state: PartitionState[DeliverTables]) -> None:
        """Queue everything pending in a partition that was assigned, and probe endpoints that failed."""
        rows = list(state.tables.pending.values())
        ahead = self._ahead()
        for row in rows:
            queue = self._queue((state.partition, row.subscription_id))
            if row.attempt and not row.held:
                queue.suspect(self._queue_time(), self._jitter)
            if row.asked and not self._has_moved(row):
                queue.leave_alone(row.asked - ahead, row.tried)
        self.push(state.partition, rows)
        for subscription_id, waiting in state.tables.pending.of.items():
            client_id = next(iter(waiting.values())).client_id
            found = self._subscriptions.find(client_id, subscription_id)
            if found is not None:  # else it is told of when it has been read
                self._apply_subscription(state.partition, subscription_id, found)

    def on_revoked(self, state: PartitionState[DeliverTables]) -> None:
        """Send nothing more from a partition that was revoked.

        POSTs under way end; their outcomes count only if the partition comes back with the row unchanged.
        """
        for key in [key for key in self._queues if key[0] == state.partition]:
            self._queues[key].clear()
            if not self._queues[key].is_sending:
                del self._queues[key]
            self._cancel_timer(key)

    def begin(self, partition: int, rows: Iterable[Row]) -> None:
        """Start the POSTs of rows whose transaction is under way, where no other delivery waits."""
        for row in rows:
            key = (partition, row.subscription_id)
            queue = self._queue(key)
            is_free = queue.is_free(self._queue_time()) and not self._in_flight.is_full
            if is_free and row.id not in self._in_flight and not self._stopping:
                self._start(key, queue, row)

    def push(self, partition: int, rows: Iterable[Row], ahead: Mapping[str, int] | None = None) -> None:
        """Queue rows until they are due; called after each commit that made or changed them.

        `ahead` (ms, by id) is how far the wall clock was ahead of the queues' clock when a row was planned,
        if that was before this call.
        """
        now = self._ahead()
        touched = set()
        for row in rows:
            key = (partition, row.subscription_id)
            queue = self._queue(key)
            self._wait(queue, row, (ahead or {}).get(row.id, now))
            if kind_of(row).at_once and row.attempt == 0:
                queue.wake()
            if self._has_moved(row):  # while its POST to the old URL was under way
                found = self._subscriptions.find(row.client_id, row.subscription_id)
                self._note_subscription(partition, row.subscription_id, found)
            touched.add(key)
        for key in touched:
            self._pump(key)

    def on_subscription_changed(self, client_id: str) -> None:
        """Resume, hold or cancel what waits for a client whose subscriptions have changed."""
        partition = self._partition_of(client_id)
        state = self._states.held.get(partition)
        if state is None:
            return
        pending = state.tables.pending
        client = self._subscriptions.get(client_id)
        for subscription in client.subscriptions if client else ():
            if subscription.id in pending.of or (partition, subscription.id) in self._queues:
                self._apply_subscription(partition, subscription.id, subscription)
        known = {s.id for s in client.subscriptions} if client else set()
        for subscription_id in state.tables.proven.of.get(client_id, set()) - known:
            self._apply_subscription(partition, subscription_id, None)
        gone = {
            subscription_id
            for (number, subscription_id), queue in self._queues.items()
            if number == partition and subscription_id not in known and queue
        }
        for subscription_id in gone:
            rows = pending.of.get(subscription_id)
            if rows and next(iter(rows.values())).client_id == client_id:
                self._apply_subscription(partition, subscription_id, None)

    async def stop(self) -> None:
        """Send nothing more; POSTs under way get STOP_SECONDS to end."""
        self._stopping = True
        for timer in self._timers.values():
            timer.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                while self._tasks:
                    await asyncio.wait(self._tasks)
        late = list(self._tasks)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        await self._attempts.close()

    # Endpoints

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
        queue.push(row.id, row.due, now + row.left(now + ahead))

    def _start(self, key: Key, queue: EndpointQueue, row: Row, *, is_probe: bool = False) -> None:
        queue.began()
        self._in_flight.begin(row.id, self._ahead())
        self._spawn(self._send(key, row, is_probe))

    def _pump(self, key: Key) -> None:
        """Start what may go out of one queue now, and set its timer for the rest."""
        queue = self._queues.get(key)
        if queue is None or self._stopping:
            return
        state = self._states.held.get(key[0])
        if state is None:
            return
        now = self._queue_time()
        table = state.tables.pending
        while True:
            if self._in_flight.is_full:
                if key not in self._crowded:
                    self._crowded.append(key)
                return
            popped = queue.pop(now)
            if popped is None:
                break
            row = table.get(popped.delivery_id)
            if row is None or row.due != popped.due or row.id in self._in_flight:
                continue  # stale: it has ended, has another due time, or is in flight
            if row.held and row.due > now + self._ahead() + 1:  # a probe, or the clock was set back
                queue.rest()
                self._wait(queue, row, self._ahead())
                continue
            if row.held:
                self._note_subscription(key[0], key[1], self._subscriptions.find(row.client_id, key[1]))
                continue
            self._start(key, queue, row, is_probe=popped.is_probe)
        self._set_timer(key, queue, now)

    def _set_timer(self, key: Key, queue: EndpointQueue, now: int) -> None:
        self._cancel_timer(key)
        at = queue.next_at()
        if at is not None:
            seconds = max(0.0, (at - now) / 1000)
            self._timers[key] = asyncio.get_running_loop().call_later(seconds, self._pump, key)
        elif not queue and not self._is_needed(key):
            self._queues.pop(key, None)
        elif queue.asked_until > now:
            self._timers[key] = asyncio.get_running_loop().call_later(
                (queue.asked_until - now) / 1000, self._pump, key
            )

    def _cancel_timer(self, key: Key) -> None:
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()

    def _is_needed(self, key: Key) -> bool:
        """Whether an empty queue still says how its endpoint behaves: to rows under way, or to new ones."""
        state, queue = self._states.held.get(key[0]), self._queues[key]
        has_rows = state is not None and key[1] in state.tables.pending.of
        return (has_rows and queue.has_failed) or queue.asked_until > self._queue_time()

    def _has_moved(self, row: Row) -> bool:
        """Whether the subscription has another URL now than the one that did not take the row."""
        found = self._subscriptions.find(row.client_id, row.subscription_id) if row.tried else None
        return found is not None and found.enabled and row.tried != url_mark(found.webhook_url)

    async def _send(self, key: Key, row: Row, is_probe: bool) -> None:
        """One attempt; it leaves the queue when the POST ends, and flight when its outcome is committed."""
        try:
            subscription = await self._attempts.subscription_of(row)
            if subscription is None or not subscription.enabled:
                self._in_flight.end([row.id])
                self._note_settled(key)
                self._apply_subscription(key[0], key[1], subscription)
            else:
                state = self._states.held.get(key[0])
                proven = state is not None and state.tables.proven.has(key[1], subscription.webhook_url)
                attempted = await self._attempts.send(row, subscription, is_probe=is_probe, is_proven=proven)
                self._observe(key, row.client_id, subscription.webhook_url, attempted.outcome)
                self._outcomes.add(key[0], attempted)
        except Exception as error:  # Kafka is away, or a bug: the row stays and is retried
            log.warning("delivery %s could not be sent, retrying: %r", row.id, error)
            await asyncio.sleep(1)
            ahead = self._in_flight.end([row.id]).get(row.id, self._ahead())
            if (queue := self._queues.get(key)) is not None:
                queue.settled()
                if is_probe:
                    queue.suspect(self._queue_time(), self._jitter)
                self._wait(queue, row, ahead)
        finally:
            self._free_slot(key)

    def _free_slot(self, key: Key) -> None:
        queue = self._queues.get(key)
        if queue is not None:
            queue.ended()
        self._pump(key)
        self._pump_crowded()

    def _settled(self, partition: int, updates: Sequence[Update]) -> None:
        for update in updates:
            if isinstance(update, Attempted):
                self._note_settled((partition, update.row.subscription_id))
        self._pump_crowded()

    def _note_settled(self, key: Key) -> None:
        queue = self._queues.get(key)
        if queue is not None:
            queue.settled()
            self._pump(key)  # it may be empty now

    def _pump_crowded(self) -> None:
        """Pump the queues that wait for room in flight; finished POSTs and committed outcomes make it."""
        for _ in range(len(self._crowded)):
            if self._in_flight.is_full:
                break
            self._pump(self._crowded.popleft())

    def _observe(self, key: Key, client_id: str, url: str, outcome: Outcome) -> None:
        """Tell the queue how its endpoint answered; while its circuit breaker is open, expire old rows."""
        queue = self._queues.get(key)
        present = self._subscriptions.find(client_id, key[1])
        if queue is None or (present is not None and present.webhook_url != url):
            return  # what the old URL answers says nothing about the new one
        if verdict(outcome) == "delivered":
            queue.succeeded(self._queue_time())
            return
        now = self._now()
        queue.failed(self._queue_time(), url, retry_after_seconds(outcome, now), self._jitter)
        if queue.is_open:
            self._outcomes.add(key[0], Expire(key[1], int(now * 1000)))

    def _apply_subscription(
        self, partition: int, subscription_id: str, subscription: Subscription | None
    ) -> None:
        self._note_subscription(partition, subscription_id, subscription)
        key = (partition, subscription_id)
        queue = self._queues.get(key)
        if subscription is None and queue is not None and not queue.is_sending:
            queue.clear()
            self._queues.pop(key)
            self._cancel_timer(key)
        self._pump(key)

    def _note_subscription(
        self, partition: int, subscription_id: str, subscription: Subscription | None
    ) -> None:
        """Tell the queue what the subscription is now, and have its rows changed accordingly."""
        queue = self._queues.get((partition, subscription_id))
        if queue is not None:
            queue.moved_to(subscription.webhook_url if subscription else "")
            if subscription is not None and subscription.enabled:
                queue.wake()
            else:
                queue.rest()
        self._outcomes.add(
            partition, SubscriptionChanged(subscription_id, subscription, int(self._now() * 1000))
        )

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the dispatcher failed: %r", error, exc_info=error)
