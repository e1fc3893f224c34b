"""Sends what is due: a lane for each subscription, timers, and room for so many POSTs at a time.

HTTP never runs inside an agent. What is pending lives in the table's rows; all that is kept here
(lanes, timers, what is in flight) can be lost and is built again from the rows of the partitions
owned. A crash between a POST and its commit sends the same webhook-id again.
"""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final

from red_stats.agents.deliveries import Expire, Steer
from red_stats.delivery.attempt import Posting
from red_stats.delivery.endpoint_queue import Lane
from red_stats.delivery.outcome_batches import Settle, Settling
from red_stats.domain.deliveries import Row
from red_stats.domain.retries import Outcome, retry_after_seconds, verdict
from red_stats.domain.subscriptions import Subscription
from red_stats.kafka.subscription_cache import Directory
from red_stats.tables.partition_state import Owned, Ownership
from red_stats.tables.pending_deliveries import PendingRows

log = logging.getLogger(__name__)

MAX_IN_FLIGHT: Final = 256
STOP_SECONDS: Final = 3.0

Key = tuple[int, str]  # partition, subscription_id


class Dispatcher:
    """All lanes of this process. `now` is the wall clock, `monotonic` the lanes' (both seconds)."""

    def __init__(
        self,
        *,
        ownership: Ownership,
        directory: Directory,
        posting: Posting,
        settle: Settle,
        schedule: Sequence[float],
        partition_of: Callable[[str], int],
        now: Callable[[], float],
        jitter: Callable[[], float],
        monotonic: Callable[[], float] = time.monotonic,
        max_in_flight: int = MAX_IN_FLIGHT,
    ) -> None:
        self._ownership = ownership
        self._directory = directory
        self._posting = posting
        self._schedule = schedule
        self._partition_of = partition_of
        self._now = now
        self._monotonic = monotonic
        self._jitter = jitter
        self._max_in_flight = max_in_flight
        self._lanes: dict[Key, Lane] = {}
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._crowded: deque[Key] = deque()  # lanes that wait for the process, not for time
        self._in_flight: dict[str, int] = {}  # and by how much the wall clock was ahead of the lanes' then
        self._tasks: set[asyncio.Task[None]] = set()
        self._settling = Settling(
            ownership=ownership,
            settle=settle,
            in_flight=self._in_flight,
            push=self.push,
            spawn=self._spawn,
            on_room=self._pump_crowded,
        )
        self.stopping = False

    # What others tell us

    async def take(self, owned: Owned) -> None:
        """A partition is ours: everything pending in it is put into lanes."""
        self.push(owned.number, list(owned.rows["pending"].values()))

    def forget(self, owned: Owned) -> None:
        """A partition is lost: nothing more goes out.

        POSTs under way end; their results count only if the partition comes back, row unchanged.
        """
        for key in [key for key in self._lanes if key[0] == owned.number]:
            if self._lanes[key].in_flight:
                self._lanes[key] = self._emptied(self._lanes[key])
            else:
                del self._lanes[key]
            timer = self._timers.pop(key, None)
            if timer is not None:
                timer.cancel()

    def begin(self, partition: int, rows: Iterable[Row]) -> None:
        """Rows whose transaction is under way: what nothing stands before goes out meanwhile."""
        for row in rows:
            key = (partition, row.subscription_id)
            lane = self._lane(key)
            is_free = lane.is_free(self._lane_time()) and len(self._in_flight) < self._max_in_flight
            if is_free and row.id not in self._in_flight and not self.stopping:
                self._start(key, lane, row)

    def push(self, partition: int, rows: Iterable[Row], ahead: Mapping[str, int] | None = None) -> None:
        """Rows wait for their due times; called after each commit that made or changed them.

        `ahead` (ms, by id) is how the clocks stood where a row was planned before this moment.
        """
        now = self._ahead()
        touched = set()
        for row in rows:
            key = (partition, row.subscription_id)
            lane = self._lane(key)
            self._wait(lane, row, (ahead or {}).get(row.id, now))
            if row.type == "red.test" and row.attempt == 0:
                lane.wake()
            touched.add(key)
        for key in touched:
            self._pump(key)

    def changed(self, client_id: str) -> None:
        """A client's subscriptions changed: wake, hold or cancel what waits."""
        partition = self._partition_of(client_id)
        owned = self._ownership.owned.get(partition)
        if owned is None:
            return
        client = self._directory.get(client_id)
        for subscription in client.subscriptions if client else ():
            if subscription.id in owned.rows["pending"].of:
                self._steer(partition, subscription.id, subscription)
        known = {s.id for s in client.subscriptions} if client else set()
        gone = {
            subscription_id
            for (number, subscription_id), lane in self._lanes.items()
            if number == partition and subscription_id not in known and lane
        }
        for subscription_id in gone:
            rows = owned.rows["pending"].of.get(subscription_id)
            if rows and next(iter(rows.values())).client_id == client_id:
                self._steer(partition, subscription_id, None)

    async def stop(self) -> None:
        """Nothing new goes out; what is under way gets a short time."""
        self.stopping = True
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
        await self._posting.close()

    # Lanes

    def _lane(self, key: Key) -> Lane:
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(self._schedule)
        return lane

    def _lane_time(self) -> int:
        return int(self._monotonic() * 1000)

    def _ahead(self) -> int:
        return int(self._now() * 1000) - self._lane_time()

    def _wait(self, lane: Lane, row: Row, ahead: int) -> None:
        """Until the row is due by the clock that planned it: who sets it later moves nothing.

        A new row is due at once: its time is Kafka's, whose clock may be another.
        """
        now = self._lane_time()
        lane.push(row.id, row.due, now + row.left(now + ahead))

    def _start(self, key: Key, lane: Lane, row: Row) -> None:
        lane.in_flight += 1
        self._in_flight[row.id] = self._ahead()
        self._spawn(self._send(key, row))

    def _emptied(self, old: Lane) -> Lane:
        fresh = Lane(self._schedule)
        fresh.in_flight, fresh.width, fresh.failures = old.in_flight, old.width, old.failures
        return fresh

    def _pump(self, key: Key) -> None:
        """Start what may go out of one lane now, and set its timer for the rest."""
        lane = self._lanes.get(key)
        if lane is None or self.stopping:
            return
        owned = self._ownership.owned.get(key[0])
        if owned is None:
            return
        now = self._lane_time()
        table: PendingRows = owned.rows["pending"]
        while True:
            if len(self._in_flight) >= self._max_in_flight:
                if key not in self._crowded:
                    self._crowded.append(key)
                return
            popped = lane.pop(now)
            if popped is None:
                break
            row = table.get(popped[0])
            if row is None or row.due != popped[1] or row.id in self._in_flight:
                continue  # stale: it has ended, moved, or is on its way
            if row.held and row.due > now + self._ahead() + 1:  # the clock was set back
                self._wait(lane, row, self._ahead())
                continue
            if row.held:
                self._steer(key[0], key[1], self._directory.find(row.client_id, key[1]))
                continue
            self._start(key, lane, row)
        self._set_timer(key, lane, now)

    def _set_timer(self, key: Key, lane: Lane, now: int) -> None:
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
        at = lane.next_at()
        if at is not None:
            seconds = max(0.0, (at - now) / 1000)
            self._timers[key] = asyncio.get_running_loop().call_later(seconds, self._pump, key)
        elif not lane:
            self._lanes.pop(key, None)

    async def _send(self, key: Key, row: Row) -> None:
        """One turn of a lane; the slot is free when the POST has ended, the row when its result stands."""
        try:
            subscription = await self._posting.subscription_of(row)
            if subscription is None or not subscription.enabled:
                self._in_flight.pop(row.id, None)
                self._steer(key[0], key[1], subscription)
            else:
                posted = await self._posting.post(row, subscription)
                self._judge(key, posted.outcome)
                self._settling.note(key[0], posted)
        except Exception as error:  # Kafka is away, or a mistake of ours: the row stays, and is tried again
            log.warning("delivery %s could not be sent: %r", row.id, error)
            await asyncio.sleep(1)
            ahead = self._in_flight.pop(row.id, self._ahead())
            if (lane := self._lanes.get(key)) is not None:
                self._wait(lane, row, ahead)
        finally:
            self._left(key)

    def _left(self, key: Key) -> None:
        lane = self._lanes.get(key)
        if lane is not None:
            lane.in_flight = max(0, lane.in_flight - 1)
        self._pump(key)
        self._pump_crowded()

    def _pump_crowded(self) -> None:
        """Lanes that waited for room in the process, which POSTs and settled results make."""
        for _ in range(len(self._crowded)):
            if len(self._in_flight) >= self._max_in_flight:
                break
            self._pump(self._crowded.popleft())

    def _judge(self, key: Key, outcome: Outcome) -> None:
        """The lane learns how its endpoint does."""
        lane = self._lanes.get(key)
        if lane is None:
            return
        if verdict(outcome) == "delivered":
            lane.succeeded()
            return
        now = self._now()
        lane.failed(self._lane_time(), retry_after_seconds(outcome, now), self._jitter)
        if lane.is_open:
            self._settling.note(key[0], Expire(key[1], int(now * 1000)))

    def _steer(self, partition: int, subscription_id: str, subscription: Subscription | None) -> None:
        if subscription is not None and subscription.enabled:
            lane = self._lanes.get((partition, subscription_id))
            if lane is not None:
                lane.wake()
        self._settling.note(partition, Steer(subscription_id, subscription, int(self._now() * 1000)))

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a delivery could not be handled: %r", error, exc_info=error)
