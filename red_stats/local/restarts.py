"""When a child that keeps dying stops the whole. Pure."""

from collections import deque

LIMIT = 5
WITHIN_SECONDS = 60.0


class Restarts:
    """Counts the deaths of one child; five within a minute are too many."""

    def __init__(self, limit: int = LIMIT, within: float = WITHIN_SECONDS) -> None:
        self._limit, self._within = limit, within
        self._deaths: deque[float] = deque()

    def too_many(self, now: float) -> bool:
        """Note a death at `now` (monotonic seconds) and say whether that was one too many."""
        self._deaths.append(now)
        while self._deaths[0] <= now - self._within:
            self._deaths.popleft()
        return len(self._deaths) >= self._limit

    def pause(self) -> float:
        """Seconds before the next start: at once after a single death, longer when they repeat."""
        return float(min(0.2 * 2 ** (len(self._deaths) - 1), 3.0)) if self._deaths else 0.0
