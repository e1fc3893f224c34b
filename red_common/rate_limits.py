"""How much of something everybody may have: a token bucket each, which fills at a steady rate.

The headers follow draft-ietf-httpapi-ratelimit-headers-11: the policy, and what is left of it.
"""

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

REMEMBERED: Final = 100_000  # buckets; one that was not used for long is full anyway


class RateLimits:
    """Allows everybody `rate` a second of what is called `name`, in bursts of `burst`, at least 1.

    Rate 0 is no limit.
    """

    def __init__(self, name: str, rate: float, burst: float, monotonic: Callable[[], float]) -> None:
        self._name = name
        self._rate, self._burst = rate, max(burst, 1.0)
        self._monotonic = monotonic
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, and when it had them

    def charge(self, who: str, count: float = 1) -> None:
        """Takes tokens for what will be done whatever is left; a debt delays what comes later."""
        if self._rate:
            self._put(who, self._tokens(who) - count)

    def wait_seconds(self, who: str, count: float = 1) -> float:
        """Seconds until `count` more are allowed; 0 if they are now."""
        tokens = self._tokens(who)
        return 0.0 if not self._rate or tokens >= count else (count - tokens) / self._rate

    def headers(self, who: str) -> dict[str, str]:
        """The headers `RateLimit` and `RateLimit-Policy` of a response; empty without limit."""
        if not self._rate:
            return {}
        tokens = self._tokens(who)
        full = math.ceil((self._burst - tokens) / self._rate)
        window = math.ceil(self._burst / self._rate)
        return {
            "RateLimit-Policy": f'"{self._name}";q={int(self._burst)};w={window}',
            "RateLimit": f'"{self._name}";r={max(0, int(tokens))};t={full}',
        }

    def _tokens(self, who: str) -> float:
        tokens, at = self._buckets.get(who, (self._burst, 0.0))
        return min(self._burst, tokens + (self._monotonic() - at) * self._rate)

    def _put(self, who: str, tokens: float) -> None:
        self._buckets[who] = (tokens, self._monotonic())
        self._buckets.move_to_end(who)
        if len(self._buckets) > REMEMBERED:
            self._buckets.popitem(last=False)
