"""How often a client can be refused."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

REMEMBERED: Final = 100_000  # clients
REFUSALS: Final = 50.0  # per second, to one client
LONGEST: Final = 1.0  # seconds by which one is delayed


class RefusalPacing:
    """Delays refusals, so that a client that ignores Retry-After costs no more than one that obeys it.

    Without this, clients that retry at once would use up the processor time that others need. Who obeys it
    has few at a time, and so waits for a fraction of `longest` seconds.
    """

    def __init__(self, monotonic: Callable[[], float], longest: float = LONGEST) -> None:
        self._monotonic, self._longest = monotonic, longest
        self._next: OrderedDict[str, float] = OrderedDict()

    def delay_seconds(self, client_id: str) -> float:
        """Seconds by which to delay this refusal, 0 to `longest`; it counts as sent then."""
        now = self._monotonic()
        at = min(max(now, self._next.get(client_id, now)), now + self._longest)
        self._next[client_id] = at + 1 / REFUSALS
        self._next.move_to_end(client_id)
        if len(self._next) > REMEMBERED:
            self._next.popitem(last=False)
        return at - now
