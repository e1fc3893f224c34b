"""A delivery: one alert (or test event) on its way to one webhook, and every turn it can take. Pure.

A row stands in deliver's table while the delivery is not at its end; every turn is also an event on
`red.deliveries`. Times are ms since 1970.
"""

from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple
from uuid import UUID

import msgspec
import orjson

from red_common.events import CLIENT_ID, InvalidEvent, rfc3339
from red_stats.domain.alerts import uuid5
from red_stats.domain.measurements import from_ms
from red_stats.domain.retries import HOLD_SECONDS, Outcome, delay, retry_after_seconds, verdict
from red_stats.domain.subscriptions import Subscription

MAX_AGE_MS: Final = 72 * 3600 * 1000
BLOCKED_SECONDS: Final = 1800.0

State = Literal["pending", "held", "delivered", "exhausted", "cancelled"]


class Row(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A delivery that has not ended; `data` is the alert as it stands on `red.alerts`."""

    id: str
    webhook_id: str
    alert_id: str  # "" for a test event
    client_id: str
    subscription_id: str
    version: int
    type: Literal["red.alert", "red.test"]
    timestamp: str  # measured_at
    data: str
    since: int
    due: int
    attempt: int = 0  # attempts made
    held: bool = False
    wait: int = 0  # of `due`, from the moment that planned it

    def left(self, now: int) -> int:
        """Ms until it is due: never more than it was to wait, if the clock was set since."""
        return min(self.due - now, self.wait)

    @property
    def body(self) -> bytes:
        """What is POSTed, byte for byte the same on every attempt."""
        return b'{"type":"%b","timestamp":"%b","data":%b}' % (
            self.type.encode(),
            self.timestamp.encode(),
            self.data.encode(),
        )


class Turn(NamedTuple):
    """What happens to a delivery: its new row (None: it has ended) and the event that tells it."""

    row: Row | None
    event: bytes


class _Alert(msgspec.Struct, frozen=True):
    id: str
    subscription_id: str
    version: int
    measured_at: str


class TestTask(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="test"):
    """A task on `red.delivery-tasks`: send a test event to one subscription."""

    task_id: str
    client_id: str
    subscription_id: str
    version: int
    threshold: float


_encoder = msgspec.json.Encoder()
_rows = msgspec.json.Decoder(Row)
encode = _encoder.encode
decode = _rows.decode


def _named(alert_id: str) -> tuple[str, str]:
    try:
        return uuid5(UUID(alert_id).bytes, "delivery"), "msg_" + UUID(alert_id).hex
    except ValueError as error:
        raise InvalidEvent("the id is not a UUID") from error


def of_alert(key: bytes | None, value: bytes | None, at: int) -> Row:
    """The delivery of a record of `red.alerts`; its ids follow from the alert's.

    Raises:
        InvalidEvent: the record is no alert.
    """
    try:
        alert = msgspec.json.decode(value or b"", type=_Alert)
        client_id, data = (key or b"").decode(), (value or b"").decode()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidEvent(f"no alert: {error}") from error
    if not CLIENT_ID.fullmatch(client_id):
        raise InvalidEvent("the record's key is no client_id")
    delivery_id, webhook_id = _named(alert.id)
    return Row(
        id=delivery_id, webhook_id=webhook_id, alert_id=alert.id, client_id=client_id,
        subscription_id=alert.subscription_id, version=alert.version, type="red.alert",
        timestamp=alert.measured_at, data=data, since=at, due=at,
    )  # fmt: skip


def of_task(key: bytes | None, value: bytes | None, at: int) -> Row:
    """The delivery that a record of `red.delivery-tasks` asks for: a test event.

    Raises:
        InvalidEvent: the record is no task.
    """
    try:
        task = msgspec.json.decode(value or b"", type=TestTask)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidEvent(f"no delivery task: {error}") from error
    if not CLIENT_ID.fullmatch(task.client_id) or key != task.client_id.encode():
        raise InvalidEvent("the record's key is not its client_id")
    delivery_id, webhook_id = _named(task.task_id)
    moment = rfc3339(from_ms(at))
    sample = {
        "id": task.task_id, "subscription_id": task.subscription_id, "version": task.version,
        "seq": 0, "prev_seq": 0, "image_id": "00000000-0000-0000-0000-000000000000", "red": 1.0,
        "threshold": task.threshold, "measured_at": moment, "position": "",
    }  # fmt: skip
    return Row(
        id=delivery_id, webhook_id=webhook_id, alert_id="", client_id=task.client_id,
        subscription_id=task.subscription_id, version=task.version, type="red.test",
        timestamp=moment, data=orjson.dumps(sample).decode(), since=at, due=at,
    )  # fmt: skip


def test_ids(task: TestTask) -> tuple[str, str]:
    """The delivery id and webhook-id that a test event will have."""
    return _named(task.task_id)


def enqueued(row: Row) -> Turn:
    """A new delivery, due at once."""
    return Turn(row, _event(row, "pending", row.since, due=row.due))


def attempted(row: Row, outcome: Outcome, at: int, schedule: Sequence[float], jitter: float) -> Turn:
    """After the POST that began at `at`: delivered, tried again later, held (410) or exhausted.

    A test event is sent once: it asks how the endpoint answers now.
    """
    tried = msgspec.structs.replace(row, attempt=row.attempt + 1)
    answer = verdict(outcome)
    if answer == "delivered":
        return Turn(None, _event(tried, "delivered", at, outcome))
    if row.type == "red.test":
        return Turn(None, _event(tried, "exhausted", at, outcome))
    if answer == "gone":
        kept = _held(tried, at)
        return Turn(kept, _event(kept, "held", at, outcome, due=kept.due))
    hint = retry_after_seconds(outcome, at / 1000)
    if outcome.blocked and schedule:
        hint = min(BLOCKED_SECONDS, max(schedule))
    seconds = delay(tried.attempt, schedule, jitter, hint)
    if seconds is None:
        return Turn(None, _event(tried, "exhausted", at, outcome))
    wait = outcome.ms + int(seconds * 1000)
    later = msgspec.structs.replace(tried, due=at + wait, wait=wait)
    return Turn(later, _event(later, "pending", at, outcome, due=later.due))


def steered(row: Row, subscription: Subscription | None, at: int) -> Turn | None:
    """What the subscription's state means for a waiting row; None when nothing changes."""
    if subscription is None:
        return Turn(None, _event(row, "cancelled", at))
    if not subscription.enabled:
        if not row.held:
            kept = _held(row, at)
            return Turn(kept, _event(kept, "held", at, due=kept.due))
        if row.due <= at:
            gone = Outcome(None, "the webhook stayed disabled for 72 h", 0)
            return Turn(None, _event(row, "exhausted", at, gone, attempt=0))
        return None
    if row.held:
        woken = msgspec.structs.replace(row, held=False, due=at, wait=0)
        return Turn(woken, _event(woken, "pending", at, due=at))
    return None


def expired(row: Row, at: int, schedule: Sequence[float]) -> Turn | None:
    """The end of a row that waited behind a failing endpoint for longer than its whole schedule."""
    if at - row.since <= max(MAX_AGE_MS, int(1200 * sum(schedule))):
        return None
    late = Outcome(None, "the webhook failed for longer than the whole schedule", 0)
    return Turn(None, _event(row, "exhausted", at, late, attempt=0))


def _held(row: Row, at: int) -> Row:
    wait = int(HOLD_SECONDS * 1000)
    return msgspec.structs.replace(row, held=True, due=at + wait, wait=wait)


def _event(
    row: Row,
    state: State,
    at: int,
    outcome: Outcome | None = None,
    *,
    due: int = 0,
    attempt: int | None = None,
) -> bytes:
    """The value on `red.deliveries`; attempt 0 is a turn without a POST."""
    posted = (row.attempt if outcome is not None else 0) if attempt is None else attempt
    fields: dict[str, Any] = {
        "id": row.id,
        "webhook_id": row.webhook_id,
        "alert_id": row.alert_id or None,
        "client_id": row.client_id,
        "subscription_id": row.subscription_id,
        "version": row.version,
        "state": state,
        "attempt": posted,
        "at": rfc3339(from_ms(at)),
        "status": outcome.status if outcome else None,
        "error": outcome.error if outcome else None,
        "ms": outcome.ms if outcome else 0,
        "due_at": rfc3339(from_ms(due)) if due else None,
    }
    return orjson.dumps(fields)
