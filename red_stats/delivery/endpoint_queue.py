"""A lane: the deliveries of one endpoint (a subscription) in the order of their due times. Pure.

At most 4 POSTs at a time, 1 after a failure, then 1, 2, 4 again. After 5 failures in a row the
breaker opens: the schedule then belongs to the endpoint, and one probe at a time goes out.
"""

import heapq
from collections.abc import Callable, Sequence
from typing import Final

WIDTH: Final = 4
OPENS_AFTER: Final = 5


class Lane:
    """Which delivery may go out next, and when.

    Times are ms of a clock that nobody sets; `due` is what the row says, and only tells rows apart.
    """

    def __init__(self, schedule: Sequence[float]) -> None:
        self._schedule = schedule
        self._heap: list[tuple[int, int, str, int]] = []
        self._order = 0
        self.width = WIDTH
        self.in_flight = 0
        self.failures = 0
        self.closed_until = 0  # nothing goes out before

    def __bool__(self) -> bool:
        return bool(self._heap or self.in_flight)

    @property
    def is_open(self) -> bool:
        """Whether the breaker is open."""
        return bool(self._schedule) and self.failures >= OPENS_AFTER

    def is_free(self, now: int) -> bool:
        """Whether a delivery due now would go out at once: nothing waits, nothing fails."""
        return not self._heap and self.in_flight < self.width and self.closed_until <= now

    def push(self, delivery_id: str, due: int, at: int) -> None:
        """A delivery waits until `at`; pushed again with another `due` it is found stale at the old one."""
        self._order += 1
        heapq.heappush(self._heap, (at, self._order, delivery_id, due))

    def next_at(self) -> int | None:
        """When the lane wants attention; None while it is empty or full."""
        if not self._heap or self.in_flight >= self.width:
            return None
        return max(self._heap[0][0], self.closed_until)

    def pop(self, now: int) -> tuple[str, int] | None:
        """The next delivery that may go out now and the `due` it was pushed with."""
        at = self.next_at()
        if at is None or at > now:
            return None
        _, _, delivery_id, due = heapq.heappop(self._heap)
        return delivery_id, due

    def wake(self) -> None:
        """Somebody asks for a try now (a test event, an endpoint enabled again)."""
        self.closed_until = 0

    def succeeded(self) -> None:
        """A POST was answered with 2xx: ramp up."""
        self.failures, self.closed_until = 0, 0
        self.width = min(WIDTH, self.width * 2)

    def failed(self, now: int, hint: float, jitter: Callable[[], float]) -> None:
        """A POST failed; `hint` (s) is what Retry-After asks of the whole endpoint."""
        self.failures += 1
        self.width = 1
        wait = hint
        if self.is_open:
            step = min(self.failures - OPENS_AFTER, len(self._schedule) - 1)
            wait = max(hint, self._schedule[step] * (0.8 + 0.4 * jitter()))
        self.closed_until = max(self.closed_until, now + int(wait * 1000))
