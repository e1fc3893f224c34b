"""Endpoints that fail: when one is disabled, when it is probed, and what is told of it. Pure.

Its row is in the table `failing` from the first failed attempt to the next success. Times are ms since 1970.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple
from uuid import UUID

import msgspec
import orjson

from red_common.events import rfc3339
from red_stats.domain.alerts import uuid5
from red_stats.domain.deliveries import DeliveryEvent, Row, url_mark
from red_stats.domain.measurements import from_ms
from red_stats.domain.retries import parse_schedule
from red_stats.domain.subscriptions import Subscription

TOLD_AFTER_MS: Final = 60_000  # most failures are over by then: a deployment, a lost packet
PROBED_FOR_MS: Final = 30 * 86_400_000
AGAIN_MS: Final = 60_000
PROBE_TYPE: Final = "red.probe"
NOTICE_TYPE: Final = "red.notice"
HEALTH: Final = "health"
_NAMESPACE: Final = UUID("0d2f6c1e-6f0e-5d0c-9a41-35b7c1f3a8e2").bytes

State = Literal["failing", "ok", "disabled", "enabled"]


class HealthRules(NamedTuple):
    """When endpoints are given up, and looked for again.

    `disable_ms`: how long one fails until it is disabled (0: for ever); `probes`: seconds between the probes
    of one that is.
    """

    disable_ms: int
    probes: Sequence[float]


class Endpoint(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An endpoint that fails since its attempt at `since`; `url` is the mark of its URL.

    `last` is about when it failed last. `disabled` is the reason for which the system disabled the
    subscription, by this `version` of it. Then it is probed at `due` (0: no more) and not after `until`;
    there have been so many `probes`.
    """

    client_id: str
    url: str
    since: int
    last: int = 0
    told: bool = False
    disabled: str = ""
    version: int = 0
    probes: int = 0
    due: int = 0
    until: int = 0


class Change(NamedTuple):
    """A change of an endpoint's health that is told, at `at`; `reason` is that of a disabled subscription."""

    client_id: str
    subscription_id: str
    state: State
    at: int
    since: int
    reason: str | None = None

    @property
    def id(self) -> str:
        """A UUID: the same change has the same."""
        return uuid5(_NAMESPACE, f"{self.subscription_id}/{self.state}/{self.at}")


class Step(NamedTuple):
    """What becomes of an endpoint's row (None: it goes), and what is told."""

    endpoint: Endpoint | None
    state: State | None = None


def failed(endpoint: Endpoint | None, client_id: str, url: str, at: int, limit: int) -> Step:
    """After a failed attempt at `url` that began at `at`.

    One at another URL than before begins anew; so does one after a silence of more than `limit` (ms), during
    which it may have worked.
    """
    mark = url_mark(url)
    if endpoint is None:
        return Step(Endpoint(client_id=client_id, url=mark, since=at, last=at))
    if endpoint.url != mark or at - endpoint.last > limit > 0:
        return Step(msgspec.structs.replace(endpoint, url=mark, since=at, last=at))
    if limit and at - endpoint.last >= limit // 10:  # not for every attempt
        endpoint = msgspec.structs.replace(endpoint, last=at)
    if endpoint.told or endpoint.disabled or at - endpoint.since < TOLD_AFTER_MS:
        return Step(endpoint)
    return Step(msgspec.structs.replace(endpoint, told=True), "failing")


def succeeded(endpoint: Endpoint | None, at: int) -> Step:
    """After a 2xx. One that is disabled stays so until it is enabled, which that asks for.

    If that is refused, since the subscription has changed meanwhile, the next probe is soon.
    """
    if endpoint is not None and endpoint.disabled == "failing":
        return Step(msgspec.structs.replace(endpoint, due=at + AGAIN_MS))
    if endpoint is not None and endpoint.disabled:
        return Step(endpoint)
    return Step(None, "ok" if endpoint is not None and endpoint.told else None)


def is_lost(endpoint: Endpoint, at: int, limit: int) -> bool:
    """Whether it has failed for so long (ms; 0: for ever) at `at` that it is to be disabled."""
    return bool(limit) and not endpoint.disabled and at - endpoint.since >= limit


def changed(
    endpoint: Endpoint | None,
    client_id: str,
    subscription: Subscription | None,
    at: int,
    schedule: Sequence[float],
) -> Step:
    """After a change of the subscription; None: it was deleted. `schedule` are the seconds between probes.

    A version before the one that is known comes from a worker that has not read all of them yet.
    """
    if endpoint is not None and subscription is not None and subscription.version < endpoint.version:
        return Step(endpoint)
    if subscription is None or not (subscription.enabled or subscription.holds):
        return Step(None)
    if subscription.enabled:
        return Step(None, "enabled") if endpoint is not None and endpoint.disabled else Step(endpoint)
    reason, mark = subscription.disabled_reason or "", url_mark(subscription.webhook_url)
    endpoint = endpoint or Endpoint(client_id=client_id, url=mark, since=at)
    is_probed = reason == "failing" and bool(schedule)
    if endpoint.disabled != reason:
        due = at + int(schedule[0] * 1000) if is_probed else 0
        until = at + PROBED_FOR_MS if is_probed else 0
        return Step(
            msgspec.structs.replace(
                endpoint, disabled=reason, version=subscription.version, probes=0, due=due, until=until
            ),
            "disabled",
        )
    if endpoint.url != mark and is_probed:  # what the old one did says nothing about the new one
        return Step(
            msgspec.structs.replace(endpoint, url=mark, since=at, probes=0, due=at, until=at + PROBED_FOR_MS)
        )
    return Step(endpoint)


def probed(endpoint: Endpoint, at: int, schedule: Sequence[float]) -> Endpoint:
    """After a probe was made at `at`: the last step of the schedule repeats, until it is given up."""
    if not schedule:  # there was one, before this process was started
        return msgspec.structs.replace(endpoint, due=0)
    probes = endpoint.probes + 1
    due = at + int(schedule[min(probes, len(schedule) - 1)] * 1000)
    return msgspec.structs.replace(endpoint, probes=probes, due=due if due <= endpoint.until else 0)


def refused(endpoint: Endpoint, at: int, hint: float) -> Endpoint:
    """After a probe at `at` that was answered with the wish to be left alone for so many seconds."""
    later = at + int(hint * 1000)
    return msgspec.structs.replace(endpoint, due=max(endpoint.due, later)) if endpoint.due else endpoint


def probe_of(endpoint: Endpoint, subscription: Subscription, at: int) -> Row:
    """The delivery of its next probe, due at `at`."""
    number = endpoint.probes + 1
    identity = UUID(uuid5(_NAMESPACE, f"{subscription.id}/probe/{endpoint.since}/{number}/{at}"))
    moment = rfc3339(from_ms(at))
    data = {
        "subscription_id": subscription.id, "number": number,
        "failing_since": rfc3339(from_ms(endpoint.since)),
    }  # fmt: skip
    return _row(identity, endpoint.client_id, subscription, PROBE_TYPE, moment, data, at)


def parse_probes(text: str) -> tuple[float, ...]:
    """Comma-separated seconds between probes (RED_WEBHOOK_PROBE_SCHEDULE); none: nothing is probed.

    Raises:
        ValueError: one of them is not a number of seconds from 1 to a year.
    """
    schedule = parse_schedule(text)
    if any(seconds < 1 for seconds in schedule):
        raise ValueError("seconds between probes must be at least 1")
    return schedule


def notice_of(change: Change, to: Subscription) -> Row:
    """The delivery that tells another subscription of a change."""
    identity = UUID(uuid5(UUID(change.id).bytes, to.id))
    moment = rfc3339(from_ms(change.at))
    data = {
        "subscription_id": change.subscription_id, "state": change.state, "reason": change.reason,
        "failing_since": rfc3339(from_ms(change.since)),
    }  # fmt: skip
    return _row(identity, change.client_id, to, NOTICE_TYPE, moment, data, change.at)


def event_of(change: Change) -> bytes:
    """The record of a change on `red.deliveries`; it is of the kind `health`, and no webhook."""
    moment = rfc3339(from_ms(change.at))
    event = DeliveryEvent(
        id=change.id, webhook_id="", alert_id=None, client_id=change.client_id,
        subscription_id=change.subscription_id, version=0, state=change.state, attempt=0, at=moment,
        status=None, error=change.reason, ms=0, due_at=None, enqueued_at=moment, kind=HEALTH,
    )  # fmt: skip
    return msgspec.json.encode(event)


def _row(
    identity: UUID,
    client_id: str,
    to: Subscription,
    kind: str,
    moment: str,
    data: Mapping[str, object],
    at: int,
) -> Row:
    return Row(
        id=uuid5(identity.bytes, "delivery"), webhook_id=f"msg_{identity.hex}", alert_id="",
        client_id=client_id, subscription_id=to.id, version=to.version, type=kind,
        timestamp=moment, data=orjson.dumps(data).decode(), since=at, due=at,
    )  # fmt: skip
