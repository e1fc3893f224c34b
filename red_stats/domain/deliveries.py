"""A delivery: an alert, a digest of several or a test event on its way to one webhook. Pure.

Its row is in the table `pending` until the delivery ends; every transition is also an event on
`red.deliveries`. Times are ms since 1970.
"""

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, Literal, NamedTuple

import msgspec

from red_common.events import rfc3339
from red_stats.domain.bounds import Count16, Count32, Count63, Name, NoPlaceOrOne, PlaceInLog
from red_stats.domain.measurements import from_ms
from red_stats.domain.retries import HOLD_SECONDS, Outcome, delay, retry_after_seconds, verdict
from red_stats.domain.subscriptions import Subscription

MAX_AGE_MS: Final = 72 * 3600 * 1000
BLOCKED_SECONDS: Final = 1800.0

Because = Literal["schedule", "retry_after", "blocked"]
State = Literal["pending", "held", "delivered", "exhausted", "cancelled"]


class Row(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A delivery that has not ended; `data` is what its body says besides type and timestamp, as JSON."""

    id: str
    webhook_id: str
    alert_id: str  # "" for what is not one alert
    position: NoPlaceOrOne = ""  # of the measurement; "" for a test event, and in rows of earlier versions
    client_id: str
    subscription_id: str
    version: int
    type: str  # of its kind
    timestamp: str  # measured_at
    data: str
    first_seq: int = 0  # of the alerts in it; 0 where there are none, and in rows of earlier versions
    last_seq: int = 0
    count: int = 0  # of the alerts in it
    since: int
    due: int
    attempt: int = 0  # attempts made
    held: bool = False
    wait: int = 0  # ms from the moment that planned `due` to `due`
    probes: int = 0  # of the attempts made: those before it was due, which use up nothing of the schedule
    tried: str = ""  # the URL of the last attempt, as `url_mark` gives it
    asked: int = 0  # until when that URL wanted to be left alone (Retry-After)
    made: int = 0  # when the delivery was made, if it has ended since and is sent again; 0: `since`

    def left(self, now: int) -> int:
        """Ms until it is due, at most `wait`: a clock that was set back must not delay it."""
        return min(self.due - now, self.wait)

    @property
    def body(self) -> bytes:
        """The body of every attempt, byte for byte the same."""
        return b'{"type":"%b","timestamp":"%b","data":%b}' % (
            self.type.encode(),
            self.timestamp.encode(),
            self.data.encode(),
        )


class Transition(NamedTuple):
    """One state transition: the new row (None once finished) and the event that records it.

    There is none of a delivery that has been erased.
    """

    row: Row | None
    event: bytes | None


ERASED: Final = Transition(None, None)


_encoder = msgspec.json.Encoder()
_rows = msgspec.json.Decoder(Row)
encode = _encoder.encode
decode = _rows.decode


def enqueued(row: Row) -> Transition:
    """The transition of a new delivery, which is due at once."""
    return Transition(row, _event(row, "pending", row.since, due=row.due))


def again(row: Row, attempts: int, made: int) -> Row:
    """A delivery that has ended after `attempts`, to be sent again: they count on, the schedule begins anew.

    It was `made` at that time (ms).
    """
    return msgspec.structs.replace(row, attempt=attempts, probes=attempts, made=made)


@lru_cache(maxsize=1024)  # of each row that waits for a URL
def url_mark(url: str) -> str:
    """A few characters by which a row knows whether the URL is still the one it was sent to."""
    return hashlib.sha256(url.encode()).hexdigest()[:12]


def attempted(
    row: Row,
    outcome: Outcome,
    at: int,
    schedule: Sequence[float],
    jitter: float,
    *,
    url: str = "",
    is_probe: bool = False,
    retried: bool = True,
) -> Transition:
    """The transition after the POST that began at `at`: delivered, pending again, held (410) or exhausted.

    `schedule` are the seconds between attempts, `jitter` is in 0..1. After a failed probe the row is due when
    it was before. A kind that is not `retried` is sent once.
    """
    tried = msgspec.structs.replace(
        row, attempt=row.attempt + 1, probes=row.probes + is_probe, tried=url_mark(url)
    )
    answer = verdict(outcome)
    if answer == "delivered":
        return Transition(None, _event(tried, "delivered", at, outcome))
    if not retried:
        return Transition(None, _event(tried, "exhausted", at, outcome))
    if answer == "gone":
        kept = _held(tried, at)
        return Transition(kept, _event(kept, "held", at, outcome, due=kept.due))
    hint = retry_after_seconds(outcome, at / 1000)
    asked = at + outcome.ms + int(hint * 1000)
    if hint:
        tried = msgspec.structs.replace(tried, asked=asked)
    if is_probe:
        due = max(row.due, asked)
        later = msgspec.structs.replace(tried, due=due, wait=due - at)
        why: Because = "retry_after" if due > row.due else "schedule"
        return Transition(later, _event(later, "pending", at, outcome, due=due, because=why))
    if outcome.blocked and schedule:
        hint = min(BLOCKED_SECONDS, max(schedule))
    seconds = delay(tried.attempt - tried.probes, schedule, jitter, hint)
    if seconds is None:
        return Transition(None, _event(tried, "exhausted", at, outcome))
    hinted: Because = "blocked" if outcome.blocked else "retry_after"
    because: Because = hinted if hint and seconds == hint else "schedule"
    wait = outcome.ms + int(seconds * 1000)
    later = msgspec.structs.replace(tried, due=at + wait, wait=wait)
    return Transition(later, _event(later, "pending", at, outcome, due=later.due, because=because))


def has_moved(row: Row, subscription: Subscription) -> bool:
    """Whether the subscription has another URL than the one that did not take the row."""
    return bool(row.tried) and row.tried != url_mark(subscription.webhook_url)


def on_subscription_changed(row: Row, subscription: Subscription | None, at: int) -> Transition | None:
    """What the subscription's state (None: deleted) means for a waiting row; None when nothing changes."""
    if subscription is None:
        return cancelled(row, at)
    if not subscription.enabled:
        if not row.held:
            kept = _held(row, at)
            return Transition(kept, _event(kept, "held", at, due=kept.due))
        if row.due <= at:
            gone = Outcome(None, "the webhook stayed disabled for 72 h", 0)
            return Transition(None, _event(row, "exhausted", at, gone, attempt=0))
        return None
    if row.held or (has_moved(row, subscription) and row.due > at):
        resumed = msgspec.structs.replace(row, held=False, due=at, wait=0)
        return Transition(resumed, _event(resumed, "pending", at, due=at))
    return None


def cancelled(row: Row, at: int) -> Transition:
    """The end of a row whose subscription was deleted."""
    return Transition(None, _event(row, "cancelled", at))


def expired(row: Row, at: int, schedule: Sequence[float]) -> Transition | None:
    """The end of a row that has waited for a failing endpoint for longer than its schedule, or None."""
    if at - row.since <= max(MAX_AGE_MS, int(1200 * sum(schedule))):
        return None
    late = Outcome(None, "the webhook failed for longer than the whole schedule", 0)
    return Transition(None, _event(row, "exhausted", at, late, attempt=0))


def _held(row: Row, at: int) -> Row:
    """Held from now on; if it was never tried, from its beginning: it may have waited in the log."""
    until = (at if row.attempt else min(row.since, at)) + int(HOLD_SECONDS * 1000)
    wait = max(0, until - at)
    return msgspec.structs.replace(row, held=True, due=at + wait, wait=wait)


class DeliveryEvent(msgspec.Struct, frozen=True, kw_only=True):
    """The value of a record on `red.deliveries`; its key is the client_id.

    `attempt` 0 is a transition without a POST; `ms` is how long the POST took. `enqueued_at` is when the
    delivery was made, and `position` that of the measurement that its alert is about, the same in all its
    events; earlier versions did not write them. Nor did they write `kind` (`alert`, `digest`, `test`), nor
    which alerts of its subscription are in it: `count` of them, from `first_seq` to `last_seq`. `because` is
    why the next attempt is at `due_at`; the other times are those of the steps of the POST (`Timing`).
    """

    id: Name
    webhook_id: Name
    alert_id: Name | None
    client_id: str
    subscription_id: Name
    version: Count32
    state: Name
    attempt: Count16
    at: str
    status: Count16 | None
    error: str | None
    ms: Count32
    due_at: str | None
    enqueued_at: str | None = None
    position: PlaceInLog | None = None
    kind: Name | None = None
    first_seq: Count63 | None = None
    last_seq: Count63 | None = None
    count: Count32 = 0
    because: Name | None = None
    dns_ms: Count32 | None = None
    connect_ms: Count32 | None = None
    tls_ms: Count32 | None = None
    first_byte_ms: Count32 | None = None


def _event(
    row: Row,
    state: State,
    at: int,
    outcome: Outcome | None = None,
    *,
    due: int = 0,
    because: Because | None = None,
    attempt: int | None = None,
) -> bytes:
    timing = outcome.timing if outcome else None
    posted = (row.attempt if outcome is not None else 0) if attempt is None else attempt
    event = DeliveryEvent(
        id=row.id,
        webhook_id=row.webhook_id,
        alert_id=row.alert_id or None,
        client_id=row.client_id,
        subscription_id=row.subscription_id,
        version=row.version,
        state=state,
        attempt=posted,
        at=rfc3339(from_ms(at)),
        status=outcome.status if outcome else None,
        error=outcome.error if outcome else None,
        ms=outcome.ms if outcome else 0,
        due_at=rfc3339(from_ms(due)) if due else None,
        enqueued_at=rfc3339(from_ms(row.made or row.since)),
        position=row.position or None,
        kind=row.type.removeprefix("red."),
        first_seq=row.first_seq or None,
        last_seq=row.last_seq or None,
        count=row.count,
        because=because,
        dns_ms=timing.dns if timing else None,
        connect_ms=timing.connect if timing else None,
        tls_ms=timing.tls if timing else None,
        first_byte_ms=timing.first_byte if timing else None,
    )
    return _encoder.encode(event)
