"""The kinds of deliveries: what each is made from and what its failure means. Pure.

A new kind is one more `DeliveryKind` in `KINDS`, its topic in `topics.py`, and a line in `app.py` that
folds that topic (docs/architecture.md, "Adding a kind of delivery").
"""

from collections.abc import Callable
from typing import Final, NamedTuple
from uuid import UUID

import msgspec
import orjson

from red_common.events import CLIENT_ID, InvalidEvent, rfc3339
from red_common.uuids import InvalidUuid, canonical
from red_stats import topics
from red_stats.domain import alerts
from red_stats.domain.alerts import uuid5
from red_stats.domain.bounds import Count32, Name
from red_stats.domain.dead_letters import refuse_oversize
from red_stats.domain.deliveries import Row
from red_stats.domain.digests import DIGEST_TYPE
from red_stats.domain.failing_endpoints import NOTICE_TYPE, PROBE_TYPE
from red_stats.domain.measurements import from_ms, rfc3339_of
from red_stats.domain.subscriptions import Subscription

NO_IMAGE: Final = "00000000-0000-0000-0000-000000000000"


Read = Callable[[bytes | None, bytes | None, int], Row]


class DeliveryKind(NamedTuple):
    """One kind of delivery.

    Attributes:
        type: the `type` in the body of its webhooks.
        topic: the topic whose records become deliveries of this kind; None: they are made by others.
        read: (key, value, Kafka time in ms) -> a new row; raises InvalidEvent for a dead letter.
        retried: a failed attempt is repeated; otherwise there is only one.
        at_once: it is sent before all else that waits for its endpoint, even while the circuit breaker is
            open, but not before the time that Retry-After asks for. Its failures open no breaker.
        though_disabled: it is sent while the system has disabled the subscription, too.
        is_timed: the image-to-webhook metric measures from its timestamp to its delivery.
    """

    type: str
    topic: topics.Topic | None = None
    read: Read | None = None
    retried: bool = True
    at_once: bool = False
    though_disabled: bool = False
    is_timed: bool = False


class TestTask(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="test"):
    """The value of a record on `red.delivery-tasks`: send a test event to one subscription."""

    task_id: str
    client_id: str
    subscription_id: Name
    version: Count32
    threshold: float

    @property
    def delivery_ids(self) -> tuple[str, str]:
        """The delivery id and the webhook-id that the test event will have.

        Raises:
            InvalidEvent: `task_id` is not a UUID.
        """
        return _ids_of(self.task_id)


class RedeliveryTask(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="redeliver"):
    """The value of a record on `red.delivery-tasks`: send a delivery again that has ended."""

    row: Row


def of_alert(key: bytes | None, value: bytes | None, at: int) -> Row:
    """The delivery of a record of `red.alerts`; its ids follow from the alert's.

    Raises:
        InvalidEvent: the record is no alert, or its key is no client_id.
    """
    alert, client_id = alerts.decode(value), alerts.client_of(key)
    delivery_id, webhook_id = _ids_of(alert.id)
    return Row(
        id=delivery_id, webhook_id=webhook_id, alert_id=alert.id, position=alert.position,
        client_id=client_id,
        subscription_id=alert.subscription_id, version=alert.version, type=ALERT.type,
        timestamp=rfc3339_of(alert.measured_ms), data=(value or b"").decode(),
        first_seq=alert.seq, last_seq=alert.seq, count=1, since=at, due=at,
    )  # fmt: skip


def of_task(key: bytes | None, value: bytes | None, at: int) -> Row:
    """The delivery that a record of `red.delivery-tasks` asks for: a test event, or one that has ended.

    Raises:
        InvalidEvent: the record is no task, or its key is not its client_id.
    """
    refuse_oversize(key, value)
    try:
        task = _tasks.decode(value or b"")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidEvent(f"not a delivery task: {error}") from error
    client_id = task.row.client_id if isinstance(task, RedeliveryTask) else task.client_id
    if not CLIENT_ID.fullmatch(client_id) or key != client_id.encode():
        raise InvalidEvent("the record's key is not its client_id")
    if isinstance(task, TestTask):
        return _test_of(task, at)
    if not is_known(task.row) or not task.row.count:
        raise InvalidEvent("the delivery is none of alerts")
    row: Row = msgspec.structs.replace(task.row, since=at, due=at, held=False, wait=0, tried="", asked=0)
    return row


def _test_of(task: TestTask, at: int) -> Row:
    delivery_id, webhook_id = task.delivery_ids
    moment = rfc3339(from_ms(at))
    sample = {
        "id": task.task_id, "subscription_id": task.subscription_id, "version": task.version,
        "seq": 0, "prev_seq": 0, "image_id": NO_IMAGE, "red": 1.0,
        "threshold": task.threshold, "measured_at": moment, "position": "",
    }  # fmt: skip
    return Row(
        id=delivery_id, webhook_id=webhook_id, alert_id="", client_id=task.client_id,
        subscription_id=task.subscription_id, version=task.version, type=TEST.type,
        timestamp=moment, data=orjson.dumps(sample).decode(), since=at, due=at,
    )  # fmt: skip


def _ids_of(event_id: str) -> tuple[str, str]:
    try:
        identity = UUID(canonical(event_id))
    except InvalidUuid as error:
        raise InvalidEvent("the id is not a UUID") from error
    return uuid5(identity.bytes, "delivery"), "msg_" + identity.hex


_tasks: Final = msgspec.json.Decoder(TestTask | RedeliveryTask)
ALERT: Final = DeliveryKind("red.alert", topics.ALERTS, of_alert, is_timed=True)
TEST: Final = DeliveryKind("red.test", topics.DELIVERY_TASKS, of_task, retried=False, at_once=True)
DIGEST: Final = DeliveryKind(DIGEST_TYPE)
PROBE: Final = DeliveryKind(PROBE_TYPE, retried=False, at_once=True, though_disabled=True)
NOTICE: Final = DeliveryKind(NOTICE_TYPE)
KINDS: Final = (ALERT, DIGEST, TEST, PROBE, NOTICE)
READERS: Final[dict[str, Read]] = {kind.topic: kind.read for kind in KINDS if kind.topic and kind.read}
_BY_TYPE: Final = {kind.type: kind for kind in KINDS}


def is_known(row: Row) -> bool:
    """Whether its `type` is that of a kind."""
    return row.type in _BY_TYPE


def kind_of(row: Row) -> DeliveryKind:
    """The kind of a delivery, by the `type` in its row."""
    return _BY_TYPE[row.type]


def may_go(row: Row, subscription: Subscription) -> bool:
    """Whether its subscription, as it is now, lets a delivery out."""
    return subscription.enabled or (subscription.holds and kind_of(row).though_disabled)
