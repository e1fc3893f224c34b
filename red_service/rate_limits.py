"""How many images a client may send, and how fast it is refused more.

A bucket of tokens for each client, filled at a steady rate. Headers after
draft-ietf-httpapi-ratelimit-headers-11: the policy, and what is left of it.
"""

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

REMEMBERED: Final = 100_000  # clients; who was not seen for long has a full bucket anyway
REFUSALS: Final = 50.0  # a second to one client
LONGEST_REFUSAL: Final = 1.0  # seconds one is held back


class Rates:
    """`rate` images a second with bursts of `burst`; 0 is no limit. `monotonic` is the clock."""

    def __init__(self, rate: float, burst: float, monotonic: Callable[[], float]) -> None:
        self._rate, self._burst = rate, max(burst, 1.0)
        self._monotonic = monotonic
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, when

    def take(self, client_id: str, images: int) -> None:
        """Counts images that are measured in any case; what is owed is waited for later."""
        if self._rate:
            self._put(client_id, self._tokens(client_id) - images)

    def wait_of(self, client_id: str) -> float:
        """Seconds until the client may send an image; 0 when it may now."""
        tokens = self._tokens(client_id)
        return 0.0 if not self._rate or tokens >= 1 else (1 - tokens) / self._rate

    def headers(self, client_id: str) -> dict[str, str]:
        """What the client is told with every answer."""
        if not self._rate:
            return {}
        tokens = self._tokens(client_id)
        full = math.ceil((self._burst - tokens) / self._rate)
        window = math.ceil(self._burst / self._rate)
        return {
            "RateLimit-Policy": f'"images";q={int(self._burst)};w={window}',
            "RateLimit": f'"images";r={max(0, int(tokens))};t={full}',
        }

    def _tokens(self, client_id: str) -> float:
        tokens, at = self._buckets.get(client_id, (self._burst, 0.0))
        return min(self._burst, tokens + (self._monotonic() - at) * self._rate)

    def _put(self, client_id: str, tokens: float) -> None:
        self._buckets[client_id] = (tokens, self._monotonic())
        self._buckets.move_to_end(client_id)
        if len(self._buckets) > REMEMBERED:
            self._buckets.popitem(last=False)


class Refusals:
    """Refusals to one client are spaced out: who does not wait as told costs no more than who does.

    Without that, connections that ask again at once take the processors the images need.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._next: OrderedDict[str, float] = OrderedDict()

    def wait_of(self, client_id: str) -> float:
        """Seconds to hold this refusal back; the first ones go out at once."""
        now = self._monotonic()
        at = min(max(now, self._next.get(client_id, now)), now + LONGEST_REFUSAL)
        self._next[client_id] = at + 1 / REFUSALS
        self._next.move_to_end(client_id)
        if len(self._next) > REMEMBERED:
            self._next.popitem(last=False)
        return at - now
