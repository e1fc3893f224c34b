"""Deliveries that have ended, made again from what the store has of their alerts: the same bytes. Pure."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from red_stats.domain.alerts import Alert, AlertRaised
from red_stats.domain.deliveries import Row, again
from red_stats.domain.delivery_kinds import of_alert
from red_stats.domain.digests import Interval, as_listed, digest_of
from red_stats.domain.measurements import rfc3339_of


class Ended(NamedTuple):
    """A delivery that has ended: how often it was tried, and when it was made (ms since 1970)."""

    attempts: int
    made: int


NEVER_MADE = Ended(0, 0)


class Digested(NamedTuple):
    """What is told of all alerts of a digest; times in ms, the amount in basis points."""

    alerts: int
    first_seq: int
    last_seq: int
    first_at: int
    last_at: int
    max_red_bp: int


def alert_of(row: Sequence[Any]) -> AlertRaised:
    """The alert as live wrote it, from ALERT_COLUMNS of the store."""
    alert_id, subscription, version, seq, prev_seq, image, red, threshold, at, position, *_ = row
    return AlertRaised(
        id=alert_id, subscription_id=subscription, version=version, seq=seq, prev_seq=prev_seq,
        image_id=image, red=red / 10000, threshold=threshold / 10000, measured_at=rfc3339_of(at),
        position=position,
    )  # fmt: skip


def alert_again(client_id: str, alert: AlertRaised, ended: Ended) -> Row:
    """The delivery of an alert; one that was never made begins with this."""
    return again(of_alert(client_id.encode(), Alert(client_id, alert).value, ended.made), *ended)


def digest_again(
    client_id: str, digested: Digested, alerts: Sequence[AlertRaised], last: AlertRaised, ended: Ended
) -> Row:
    """The digest of so many alerts, of which `alerts` are those that its body lists, in their order."""
    interval = Interval(
        client_id=client_id, end=ended.made, version=last.version, count=digested.alerts,
        first_seq=digested.first_seq, last_seq=digested.last_seq, first_at=rfc3339_of(digested.first_at),
        last_at=rfc3339_of(digested.last_at), max_red=digested.max_red_bp / 10000, position=last.position,
    )  # fmt: skip
    listed = map(as_listed, alerts)
    return again(digest_of(last.subscription_id, interval, listed, ended.made), *ended)
