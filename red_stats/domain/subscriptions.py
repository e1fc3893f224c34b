"""Subscriptions and the exact range of offsets in which each of their versions is in force. Pure.

A version is in force for `[since, until)` of its client's measurement partition. The current
versions are in `Client.subscriptions`; closed ranges stay in `Client.past` until the mark of the
measurements has passed them, so a decision is a pure function of the log
(docs/architecture.md, "The four exactness rules", rule 3).
"""

from typing import Any, Literal, NamedTuple

import msgspec

from red_common.events import to_basis_points
from red_stats.domain.bounds import PlaceInLog, Share
from red_stats.domain.erasure import Erased
from red_stats.domain.request_headers import HIDDEN, SealedHeaders

MAX_SUBSCRIPTIONS = 100
MAX_DESCRIPTION = 500
MAX_URL = 2048


TriggerName = Literal["each", "crossing"]


class Secret(msgspec.Struct, frozen=True, omit_defaults=True):
    """A signing secret, encrypted; after a rotation the old one is valid until `until` (ms since 1970)."""

    encrypted: str
    until: int | None = None


class Subscription(msgspec.Struct, frozen=True, kw_only=True):
    """One threshold and one webhook URL of a client; the version is in force from offset `since`.

    `trigger`: each image over the threshold raises an alert, or only one that crosses it, until an image
    with no more than `rearm_below` (None: the threshold) arms it again (`red_stats/domain/triggers.py`).
    `min_interval` (s): at most one webhook in it; 0: one for every alert.
    `notices`: it is told of the health of the client's other endpoints.
    `max_age` (s): an image older than that at its Kafka time raises no alert; None: no limit. `holds`: it
    is disabled by the system, and its alerts are raised and held.
    """

    id: str
    version: int
    webhook_url: str
    threshold: Share
    description: str | None = None
    enabled: bool = True
    disabled_reason: str | None = None
    holds: bool = False
    max_age: int | None = None
    trigger: TriggerName = "each"
    rearm_below: Share | None = None
    min_interval: int = 0
    headers: SealedHeaders | None = None
    notices: bool = False
    since: int
    partition: int
    created_at: str
    updated_at: str
    secrets: tuple[Secret, ...] = ()

    @property
    def raises(self) -> bool:
        """Whether it raises alerts: also while the system disabled it, which stops deliveries only."""
        return self.enabled or self.holds

    @property
    def threshold_version(self) -> "ThresholdVersion":
        """The version as the fold uses it, in force."""
        threshold_bp = to_basis_points(self.threshold)
        back = None
        if self.trigger == "crossing":
            back = threshold_bp if self.rearm_below is None else to_basis_points(self.rearm_below)
        return ThresholdVersion(self.id, self.version, threshold_bp, self.since, None, self.max_age, back)

    def private(self) -> "Private":
        """What clients do not see of it."""
        return Private(secrets=self.secrets, holds=self.holds, headers=self.headers)

    def public(self) -> "PublicSubscription":
        """The subscription as clients see it, without secrets."""
        seen = {name: getattr(self, name) for name in _SEEN}
        names = self.headers.names if self.headers is not None else ()
        return PublicSubscription(
            in_force_from=f"{self.partition}:{self.since}", headers=dict.fromkeys(names, HIDDEN), **seen
        )


class PublicSubscription(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription as clients see it; the version is in force from partition:offset `in_force_from`."""

    id: str
    version: int
    webhook_url: str
    threshold: Share
    description: str | None
    enabled: bool
    disabled_reason: str | None
    in_force_from: PlaceInLog
    max_age: int | None = None
    trigger: TriggerName = "each"
    rearm_below: Share | None = None
    min_interval: int = 0
    headers: dict[str, str] = {}
    notices: bool = False
    created_at: str
    updated_at: str

    @property
    def since(self) -> int:
        """The offset from which the version is in force."""
        return int(self.in_force_from.partition(":")[2])

    def whole(self, rest: "Private") -> Subscription:
        """The subscription with what clients do not see of it."""
        seen = {name: getattr(self, name) for name in _SEEN}
        partition, _, since = self.in_force_from.partition(":")
        place: dict[str, Any] = {"partition": int(partition), "since": int(since)}
        return Subscription(secrets=rest.secrets, holds=rest.holds, headers=rest.headers, **place, **seen)


class Private(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What clients do not see of a subscription."""

    secrets: tuple[Secret, ...] = ()
    holds: bool = False
    headers: SealedHeaders | None = None


#: The fields that are the same in both.
_SEEN = [
    name
    for name in Subscription.__struct_fields__
    if name in PublicSubscription.__struct_fields__ and name != "headers"
]


class Range(msgspec.Struct, frozen=True, array_like=True):
    """A closed range of offsets, `[since, until)`, in which a version was in force."""

    subscription_id: str
    version: int
    threshold_bp: int
    since: int
    until: int
    max_age: int | None = None
    rearm_below: int | None = None


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """A client's whole list, the value of a record on `red.subscriptions`; `offset` is its last command's.

    `erased` is there for ever once the client has been erased.
    """

    client_id: str
    offset: int
    subscriptions: tuple[Subscription, ...] = ()
    past: tuple[Range, ...] = ()
    erased: Erased | msgspec.UnsetType = msgspec.UNSET

    def find(self, subscription_id: str) -> Subscription | None:
        """The subscription with that id, or None."""
        return next((s for s in self.subscriptions if s.id == subscription_id), None)


class ThresholdVersion(NamedTuple):
    """One version as the fold of measurements uses it; `until` is None while it is in force.

    `max_age` is in seconds. `rearm_below` (basis points) is there where the trigger is `crossing`.
    """

    subscription_id: str
    version: int
    threshold_bp: int
    since: int
    until: int | None
    max_age: int | None = None
    rearm_below: int | None = None

    def covers(self, offset: int) -> bool:
        """Whether this version is in force for the measurement at that offset."""
        return self.since <= offset and (self.until is None or offset < self.until)


_decoder = msgspec.json.Decoder(Client)
_encoder = msgspec.json.Encoder()
decode = _decoder.decode
encode = _encoder.encode


def active_versions(client: Client) -> tuple[ThresholdVersion, ...]:
    """Every version that may still raise an alert about a measurement, oldest range first."""
    closed = [ThresholdVersion(*msgspec.structs.astuple(closed_range)) for closed_range in client.past]
    current = [s.threshold_version for s in client.subscriptions if s.raises]
    return tuple(closed + current)


def closed_at(subscription: Subscription, stamp: int) -> tuple[Range, ...]:
    """The range a version leaves behind when the next one starts at `stamp`; none if it was empty."""
    if not subscription.raises or subscription.since >= stamp:
        return ()
    version = subscription.threshold_version
    return (Range(*version[:4], stamp, version.max_age, version.rearm_below),)


def still_needed(past: tuple[Range, ...], mark: int) -> tuple[Range, ...]:
    """The closed ranges that the fold has not passed: those that end after the offset behind the mark."""
    return tuple(closed for closed in past if closed.until > mark + 1)
