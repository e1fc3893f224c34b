"""Decides when a child that keeps dying stops the whole system. Pure."""

from collections import deque

LIMIT = 5
WITHIN_SECONDS = 60.0


class Restarts:
    """Counts the deaths of one child; `limit` of them `within` seconds are too many."""

    def __init__(self, limit: int = LIMIT, within: float = WITHIN_SECONDS) -> None:
        self._limit, self._within = limit, within
        self._deaths: deque[float] = deque()

    def too_many(self, now: float) -> bool:
        """Note a death at `now` (monotonic seconds); returns whether that was one too many."""
        self._deaths.append(now)
        while self._deaths[0] <= now - self._within:
            self._deaths.popleft()
        return len(self._deaths) >= self._limit

    def pause(self) -> float:
        """Seconds until the next start: 0.2 after one death, doubled when they repeat, at most 3."""
        return float(min(0.2 * 2 ** (len(self._deaths) - 1), 3.0)) if self._deaths else 0.0
