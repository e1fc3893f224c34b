"""Which alerts of a subscription with `min_interval` go out together, and what their webhook says. Pure.

An alert that finds no interval goes out at once and begins one. Alerts within it wait and go out together in
a digest at its end, which begins the next one; when none came, the next alert goes out at once again. What
belongs together is decided by the Kafka times of the alerts (`red_stats/domain/intervals.py` is the same
rule over history).
"""

from collections.abc import Iterable
from typing import Any, Final
from uuid import UUID

import msgspec

from red_stats.domain.alerts import AlertRaised, uuid5
from red_stats.domain.bounds import Count32, Count63, NoPlaceOrOne, Share
from red_stats.domain.deliveries import Row
from red_stats.domain.measurements import rfc3339_of

LISTED: Final = 100  # alerts in the body of a digest
ROOM: Final = 1 << 20  # bytes of an endpoint's pending bodies, beyond which no further digest is made
DIGEST_TYPE: Final = "red.digest"

_encoder = msgspec.json.Encoder()


class Interval(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What runs since a webhook of a subscription fell due, for `length` ms until `end`; and what waits.

    `postponed`: the end was reached and no digest could be made, since the subscription was disabled or too
    much of its endpoint waits. The other fields are about the `count` alerts that wait.
    """

    client_id: str
    end: int
    length: int = 0
    version: Count32 = 0  # of the last one
    postponed: bool = False
    count: Count63 = 0
    first_seq: Count63 = 0
    last_seq: Count63 = 0
    first_at: str = ""
    last_at: str = ""
    max_red: Share = 0.0
    position: NoPlaceOrOne = ""  # of the measurement of the last one


def joined(interval: Interval, alert: AlertRaised) -> Interval:
    """The interval with one more alert that waits for its end."""
    at = rfc3339_of(alert.measured_ms)
    first = (interval.first_seq, interval.first_at) if interval.count else (alert.seq, at)
    return msgspec.structs.replace(
        interval,
        version=alert.version,
        count=interval.count + 1,
        first_seq=first[0],
        first_at=first[1],
        last_seq=alert.seq,
        last_at=at,
        max_red=max(interval.max_red, alert.red),
        position=alert.position,
    )


def after(client_id: str, due: int, min_interval: int) -> Interval | None:
    """The interval (`min_interval` in s) that a webhook begins which fell due at `due` (ms); 0: none."""
    return begun(client_id, due, min_interval) if min_interval else None


def begun(client_id: str, at: int, min_interval: int) -> Interval:
    """An interval (`min_interval` in s) from `at` (ms) on; one of 0 s ends at once."""
    length = min_interval * 1000
    return Interval(client_id=client_id, end=at + length, length=length)


def as_of(interval: Interval, at: int) -> Interval:
    """The interval for an alert that was logged at `at` (ms).

    If Kafka's clock was set back by more than an interval since it began, it ends soon all the same: else
    alerts would wait until the clock comes to its end again. A clock that is a little behind moves nothing.
    """
    if at >= interval.end - 2 * interval.length:
        return interval
    return msgspec.structs.replace(interval, end=at + interval.length)


def digest_of(subscription_id: str, interval: Interval, alerts: Iterable[str], due: int) -> Row:
    """The delivery of everything that waits, fixed from now on; `alerts` are the first LISTED ones as JSON.

    Its ids follow from the first alert, which is in no other digest.
    """
    identity = UUID(uuid5(UUID(subscription_id).bytes, f"digest/{interval.first_seq}"))
    told: dict[str, Any] = {
        "subscription_id": subscription_id,
        "count": interval.count,
        "first_seq": interval.first_seq,
        "last_seq": interval.last_seq,
        "from": interval.first_at,
        "to": interval.last_at,
        "max_red": interval.max_red,
        "alerts": [msgspec.Raw(alert.encode()) for alert in alerts],
    }
    data = _encoder.encode(told).decode()
    return Row(
        id=uuid5(identity.bytes, "delivery"), webhook_id="msg_" + identity.hex, alert_id="",
        position=interval.position, client_id=interval.client_id, subscription_id=subscription_id,
        version=interval.version, type=DIGEST_TYPE, timestamp=interval.last_at, data=data,
        first_seq=interval.first_seq, last_seq=interval.last_seq, count=interval.count,
        since=due, due=due,
    )  # fmt: skip


def as_listed(alert: AlertRaised) -> str:
    """An alert as it stands in a digest, with our fields in our form: others can write them at any length."""
    told = msgspec.structs.replace(alert, measured_at=rfc3339_of(alert.measured_ms))
    return _encoder.encode(told).decode()
