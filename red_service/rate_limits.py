"""How many images a client may send, and how often it can be refused.

Each client has a token bucket that fills at a steady rate. The headers follow
draft-ietf-httpapi-ratelimit-headers-11: the policy, and what is left of it.
"""

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

REMEMBERED: Final = 100_000  # clients; the bucket of one not seen for long is full anyway
REFUSALS: Final = 50.0  # per second, to one client
LONGEST_REFUSAL: Final = 1.0  # seconds by which one is delayed


class RateLimits:
    """Allows each client `rate` images a second, in bursts of `burst`, at least 1; rate 0: no limit."""

    def __init__(self, rate: float, burst: float, monotonic: Callable[[], float]) -> None:
        self._rate, self._burst = rate, max(burst, 1.0)
        self._monotonic = monotonic
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, and when it had them

    def charge(self, client_id: str, images: int) -> None:
        """Takes tokens for images that will be measured whatever is left; a debt delays later ones."""
        if self._rate:
            self._put(client_id, self._tokens(client_id) - images)

    def wait_seconds(self, client_id: str) -> float:
        """Seconds until the client may send an image; 0 if it may now."""
        tokens = self._tokens(client_id)
        return 0.0 if not self._rate or tokens >= 1 else (1 - tokens) / self._rate

    def headers(self, client_id: str) -> dict[str, str]:
        """The headers `RateLimit` and `RateLimit-Policy` of a response to the client; empty without limit."""
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


class RefusalPacing:
    """Delays refusals, so that a client that ignores Retry-After costs no more than one that obeys it.

    Without this, clients that retry at once would use up the processor time that images need.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._next: OrderedDict[str, float] = OrderedDict()

    def delay_seconds(self, client_id: str) -> float:
        """Seconds by which to delay this refusal, 0 to LONGEST_REFUSAL; it counts as sent then."""
        now = self._monotonic()
        at = min(max(now, self._next.get(client_id, now)), now + LONGEST_REFUSAL)
        self._next[client_id] = at + 1 / REFUSALS
        self._next.move_to_end(client_id)
        if len(self._next) > REMEMBERED:
            self._next.popitem(last=False)
        return at - now
