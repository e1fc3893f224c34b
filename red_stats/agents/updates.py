"""What happens to pending deliveries: POSTs that end, subscriptions that change, times that come."""

from typing import NamedTuple

from red_stats.domain.deliveries import Row
from red_stats.domain.retries import Outcome
from red_stats.domain.subscriptions import Subscription


class Attempted(NamedTuple):
    """A POST that has ended.

    `attempt` is its number (from 1), `at` when it began (ms since 1970), `version` and `url` those of the
    subscription it was sent for, `jitter` in 0..1; a probe was sent before the row was due. `proves`: the
    endpoint has just proven its consent.
    """

    row: Row
    attempt: int
    at: int
    outcome: Outcome
    version: int
    jitter: float
    url: str
    is_probe: bool = False
    proves: bool = False


class SubscriptionChanged(NamedTuple):
    """A subscription of a client has changed, at `at` (ms since 1970); None: it was deleted."""

    client_id: str
    subscription_id: str
    subscription: Subscription | None
    at: int


class Expire(NamedTuple):
    """An endpoint fails: rows that have waited for it too long at `at` (ms since 1970) end."""

    subscription_id: str
    at: int


class ClientErased(NamedTuple):
    """A client has been erased: its deliveries from before go, and what there is of other subscriptions.

    `subscriptions` are those that it has now.
    """

    client_id: str
    subscriptions: frozenset[str]


class DigestsDue(NamedTuple):
    """Every alert from before `at` (Kafka time, ms since 1970) is folded: digests due by then are made."""

    at: int


class ProbesDue(NamedTuple):
    """Endpoints that are disabled are to be probed, those whose time has come at `at` (ms since 1970)."""

    at: int


Update = Attempted | SubscriptionChanged | Expire | ClientErased | DigestsDue | ProbesDue
