"""The deliveries of one endpoint (a subscription) in the order of their due times. Pure.

At most 4 POSTs at a time, 1 after a failure, then 1, 2, 4 again. After 5 failures in a row the
circuit breaker opens: the schedule then belongs to the endpoint, and one probe at a time goes out.
"""

import heapq
from collections.abc import Callable, Sequence
from typing import Final

WIDTH: Final = 4
OPENS_AFTER: Final = 5


class EndpointQueue:
    """Which delivery may go out next, and when.

    Times are ms of a clock that nobody sets; `due` is what the row says, and only tells rows apart.
    """

    def __init__(self, schedule: Sequence[float]) -> None:
        self._schedule = schedule
        self._heap: list[tuple[int, int, str, int]] = []
        self._order = 0
        self._width = WIDTH
        self._in_flight = 0
        self._failures = 0
        self._closed_until = 0  # nothing goes out before

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
        """Whether a delivery due now would go out at once: nothing waits, nothing fails."""
        return not self._heap and self._in_flight < self._width and self._closed_until <= now

    def push(self, delivery_id: str, due: int, at: int) -> None:
        """A delivery waits until `at`; pushed again with another `due` it is found stale at the old one."""
        self._order += 1
        heapq.heappush(self._heap, (at, self._order, delivery_id, due))

    def clear(self) -> None:
        """Nothing waits any more; what is under way and how the endpoint did stay known."""
        self._heap.clear()

    def next_at(self) -> int | None:
        """When the queue wants attention; None while it is empty or full."""
        if not self._heap or self._in_flight >= self._width:
            return None
        return max(self._heap[0][0], self._closed_until)

    def pop(self, now: int) -> tuple[str, int] | None:
        """The next delivery that may go out now and the `due` it was pushed with."""
        at = self.next_at()
        if at is None or at > now:
            return None
        _, _, delivery_id, due = heapq.heappop(self._heap)
        return delivery_id, due

    def began(self) -> None:
        """A POST is under way."""
        self._in_flight += 1

    def ended(self) -> None:
        """It has ended, however."""
        self._in_flight = max(0, self._in_flight - 1)

    def wake(self) -> None:
        """Somebody asks for a try now (a test event, an endpoint enabled again)."""
        self._closed_until = 0

    def succeeded(self) -> None:
        """A POST was answered with 2xx: ramp up."""
        self._failures, self._closed_until = 0, 0
        self._width = min(WIDTH, self._width * 2)

    def failed(self, now: int, hint: float, jitter: Callable[[], float]) -> None:
        """A POST failed; `hint` (s) is what Retry-After asks of the whole endpoint."""
        self._failures += 1
        self._width = 1
        wait = hint
        if self.is_open:
            step = min(self._failures - OPENS_AFTER, len(self._schedule) - 1)
            wait = max(hint, self._schedule[step] * (0.8 + 0.4 * jitter()))
        self._closed_until = max(self._closed_until, now + int(wait * 1000))
