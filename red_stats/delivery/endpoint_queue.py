"""The deliveries of one endpoint (a subscription) in the order of their due times. Pure.

At most 4 POSTs at a time, only 1 after a failure; every success doubles that up to 4. After 5 failures in
a row the circuit breaker opens: then the schedule applies to the endpoint, and probes go out one at a time.
"""

import heapq
from collections.abc import Callable, Sequence
from typing import Final

WIDTH: Final = 4
OPENS_AFTER: Final = 5


class EndpointQueue:
    """Which delivery may go out next, and when.

    Times are ms of a monotonic clock; `due` is what the row says (wall clock), and identifies stale entries.
    """

    def __init__(self, schedule: Sequence[float]) -> None:
        self._schedule = schedule
        self._heap: list[tuple[int, int, str, int]] = []
        self._order = 0
        self._width = WIDTH
        self._in_flight = 0
        self._failures = 0
        self._closed_until = 0  # nothing goes out before this time

    def __bool__(self) -> bool:
        return bool(self._heap or self._in_flight)

    @property
    def is_open(self) -> bool:
        """Whether the circuit breaker is open."""
        return bool(self._schedule) and self._failures >= OPENS_AFTER

    @property
    def is_sending(self) -> bool:
        """Whether a POST is under way."""
        return self._in_flight > 0

    def is_free(self, now: int) -> bool:
        """Whether a delivery that is due would go out at once: none waits, and the endpoint does not fail."""
        return not self._heap and self._in_flight < self._width and self._closed_until <= now

    def push(self, delivery_id: str, due: int, at: int) -> None:
        """Queue a delivery until `at`; after a push with another `due`, the old entry is stale."""
        self._order += 1
        heapq.heappush(self._heap, (at, self._order, delivery_id, due))

    def clear(self) -> None:
        """Forget what waits and until when, but not the POSTs under way nor how the endpoint has behaved."""
        self._heap.clear()
        self._closed_until = 0

    def next_at(self) -> int | None:
        """When the next delivery may go out; None while nothing waits or all POSTs are under way."""
        if not self._heap or self._in_flight >= self._width:
            return None
        return max(self._heap[0][0], self._closed_until)

    def pop(self, now: int) -> tuple[str, int] | None:
        """The next delivery that may go out now (its id, and the `due` it was pushed with), or None."""
        at = self.next_at()
        if at is None or at > now:
            return None
        _, _, delivery_id, due = heapq.heappop(self._heap)
        return delivery_id, due

    def began(self) -> None:
        """Note that a POST has begun."""
        self._in_flight += 1

    def ended(self) -> None:
        """Note that a POST has ended, whatever its outcome."""
        self._in_flight = max(0, self._in_flight - 1)

    def wake(self) -> None:
        """Allow the next POST now, for a test event or when the subscription is enabled again."""
        self._closed_until = 0

    def succeeded(self) -> None:
        """Note a 2xx: close the circuit breaker and double the width."""
        self._failures, self._closed_until = 0, 0
        self._width = min(WIDTH, self._width * 2)

    def failed(self, now: int, hint: float, jitter: Callable[[], float]) -> None:
        """Note a failed POST; `hint` (s) is how long Retry-After asks to leave the endpoint alone."""
        self._failures += 1
        self._width = 1
        wait = hint
        if self.is_open:
            step = min(self._failures - OPENS_AFTER, len(self._schedule) - 1)
            wait = max(hint, self._schedule[step] * (0.8 + 0.4 * jitter()))
        self._closed_until = max(self._closed_until, now + int(wait * 1000))
