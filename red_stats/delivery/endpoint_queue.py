"""The deliveries of one endpoint (a subscription) in the order of their due times. Pure.

At most 4 POSTs at a time, only 1 after a failure or when it was disabled; every success doubles that up to 4.
An endpoint that fails is probed with one delivery, due or not, after 5, 10, 20, 30, 60, 60 ... seconds, so
that it is found within a minute of its return whatever the schedule of its deliveries says. After 5 failures
in a row the circuit breaker opens: nothing but these probes goes out, and the first success makes everything
due at once. What goes at once, such as a test event, goes out whether it is open or not, ahead of all others.
"""

import heapq
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from red_stats.domain.deliveries import url_mark
from red_stats.domain.retries import BREAKER_OPENS_AFTER

WIDTH: Final = 4
PROBES: Final = (5.0, 10.0, 20.0, 30.0, 60.0)  # seconds after each failure in a row; the last one repeats
SLACK_MS: Final = 2000  # a delivery that is due so soon after a probe takes its place


class Popped(NamedTuple):
    """A delivery that may go out: its id, the `due` it was pushed with, whether it goes out before that."""

    delivery_id: str
    due: int
    is_probe: bool


class Entry(NamedTuple):
    """A delivery that waits, in the order of a heap."""

    at: int
    order: int
    delivery_id: str
    due: int


class EndpointQueue:
    """Which delivery may go out next, and when.

    Times are ms of a monotonic clock; `due` is what the row says (wall clock), and identifies stale entries.
    `schedule` are the seconds between the attempts of a delivery; the breaker is never closed for longer.
    """

    def __init__(self, schedule: Sequence[float]) -> None:
        self._schedule = schedule
        self._first: list[Entry] = []  # a heap of what the breaker does not stop; it goes out before all else
        self._heap: list[Entry] = []
        self._order = 0
        self._width = WIDTH
        self._in_flight = 0
        self._unsettled = 0  # POSTs whose outcome is not committed
        self._failures = 0
        self._failed_mark: str | None = None  # of the URL that failed or asked, whatever it took since
        self._probe_at: int | None = None  # when one delivery may go out although it is not due
        self._closed_until = 0  # the breaker lets nothing out before this time
        self._asked_until = 0  # nor did the endpoint want anything before this time (Retry-After)

    def __bool__(self) -> bool:
        """Whether it holds a delivery, or waits for the outcome of one to be committed."""
        return bool(self._first or self._heap or self._in_flight or self._unsettled)

    @property
    def is_open(self) -> bool:
        """Whether the circuit breaker is open."""
        return bool(self._schedule) and self._failures >= BREAKER_OPENS_AFTER

    @property
    def has_failed(self) -> bool:
        """Whether the last POST failed."""
        return self._failures > 0

    @property
    def is_sending(self) -> bool:
        """Whether a POST is under way."""
        return self._in_flight > 0

    def is_free(self, now: int) -> bool:
        """Whether a delivery that is due would go out at once: none waits, and the endpoint does not fail."""
        waits = self._first or self._heap
        return not waits and self._in_flight < self._width and self._shut_until <= now

    @property
    def _shut_until(self) -> int:
        return max(self._closed_until, self._asked_until)

    def push(self, delivery_id: str, due: int, at: int, *, at_once: bool = False) -> None:
        """Queue a delivery until `at`; after a push with another `due`, the old entry is stale.

        One that goes `at_once` waits for Retry-After and for POSTs under way, and for nothing else.
        """
        self._order += 1
        heapq.heappush(self._first if at_once else self._heap, Entry(at, self._order, delivery_id, due))

    def clear(self) -> None:
        """Forget what waits and until when, but not the POSTs under way nor how the endpoint has behaved."""
        self._first.clear()
        self._heap.clear()
        self._closed_until = 0

    def leave_alone(self, until: int, mark: str) -> None:
        """Note that the URL with this mark wanted nothing before this time, as a row or an answer tells."""
        self._failed_mark = mark
        self._asked_until = max(self._asked_until, until)

    @property
    def asked_until(self) -> int:
        """Until when the endpoint wants nothing; 0 if it never said."""
        return self._asked_until

    def next_at(self) -> int | None:
        """When the next delivery may go out; None while nothing waits or all POSTs are under way."""
        if self._in_flight >= self._width:
            return None
        first_at, heap_at = self._first_at(), self._heap_at()
        if first_at is None or heap_at is None:
            return heap_at if first_at is None else first_at
        return min(first_at, heap_at)

    def _first_at(self) -> int | None:
        return max(self._first[0].at, self._asked_until) if self._first else None

    def _heap_at(self) -> int | None:
        if not self._heap:
            return None
        at = self._heap[0].at
        if self._probe_at is not None and at > self._probe_at + SLACK_MS:
            at = self._probe_at
        return max(at, self._shut_until)

    def pop(self, now: int) -> Popped | None:
        """The next delivery that may go out now, or None."""
        next_at, first_at = self.next_at(), self._first_at()
        if next_at is None or next_at > now:
            return None
        goes_first = first_at is not None and first_at <= now
        at, _, delivery_id, due = heapq.heappop(self._first if goes_first else self._heap)
        return Popped(delivery_id, due, is_probe=at > now)

    def began(self, *, at_once: bool = False) -> None:
        """Note that a POST has begun; it is the probe, if one was due and this goes not `at_once`."""
        self._in_flight += 1
        self._unsettled += 1
        if not at_once:
            self._probe_at = None

    def ended(self) -> None:
        """Note that a POST has ended, whatever its outcome."""
        self._in_flight = max(0, self._in_flight - 1)

    def settled(self) -> None:
        """Note that the outcome of a POST is committed, or that there will be none."""
        self._unsettled = max(0, self._unsettled - 1)

    def wake(self) -> None:
        """Allow the next POST now: the subscription is enabled again."""
        self._closed_until = 0

    def rest(self) -> None:
        """Probe no more: the subscription is disabled. What waits for it goes out one by one at first."""
        self._probe_at = None
        self._width = 1

    def moved_to(self, url: str) -> None:
        """Note the URL of the subscription: what another one did says nothing about it."""
        if self._failed_mark not in (None, url_mark(url)):
            self._failures, self._failed_mark, self._probe_at = 0, None, None
            self._closed_until = self._asked_until = 0

    def suspect(self, now: int, jitter: Callable[[], float]) -> None:
        """Have the endpoint probed soon: it failed in another process, or a probe came to nothing."""
        if self._probe_at is None:
            self._probe_at = now + int(1000 * jitter() * PROBES[0])

    def succeeded(self, now: int) -> None:
        """Note a 2xx: double the width; if the circuit breaker was open, what waits may go out now.

        What the endpoint asked for still holds: no POST begins before that time, so this one began before it
        asked.
        """
        if self.is_open:
            waiting, self._heap = sorted(self._heap), []
            for at, _, delivery_id, due in waiting:
                self.push(delivery_id, due, min(at, now))
        self._failures, self._probe_at, self._closed_until = 0, None, 0
        self._width = min(WIDTH, self._width * 2)

    def failed(self, now: int, url: str, hint: float, jitter: Callable[[], float]) -> None:
        """Note a failed POST to `url`; `hint` (s) is how long Retry-After asks to be left alone."""
        self._failures += 1
        self._failed_mark = url_mark(url)
        self._width = 1
        self._asked_until = max(self._asked_until, now + int(hint * 1000))
        spread, step = 0.8 + 0.15 * jitter(), self._failures - 1
        self._probe_at = now + int(1000 * spread * _nth(PROBES, step))
        if self.is_open:
            listed = min(_nth(PROBES, step), _nth(self._schedule, step))
            self._closed_until = max(self._closed_until, now + int(1000 * spread * listed))


def _nth(seconds: Sequence[float], step: int) -> float:
    """The seconds at `step`, from 0; the last ones repeat."""
    return seconds[min(step, len(seconds) - 1)]
