"""Alerts: one for each version in force at a measurement's offset whose threshold it exceeds. Pure.

So anyone can prove them: the measurements above the threshold within the range *are* the alerts.
"""

import hashlib
from functools import lru_cache
from typing import Final, NamedTuple
from uuid import UUID

import msgspec
import orjson

from red_common.events import CLIENT_ID, InvalidEvent, to_basis_points
from red_common.uuids import InvalidUuid, canonical
from red_stats.domain.bounds import Count32, Count63, Name, PlaceInLog, Share, moment_ms
from red_stats.domain.measurements import Measurement, rfc3339_of
from red_stats.domain.subscriptions import ThresholdVersion

MAX_ALERT: Final = 64 << 10  # bytes; a pending row holds it again, with every quote escaped


class AlertRaised(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The value of a record on `red.alerts`; its key is the client_id.

    `seq` counts the alerts of a subscription from 1, `position` is the measurement's partition:offset,
    `red` and `threshold` are shares in 0..1 with at most four decimals.
    """

    id: str
    subscription_id: Name
    version: Count32
    seq: Count63
    prev_seq: Count63
    image_id: Name
    red: Share
    threshold: Share
    measured_at: str
    position: PlaceInLog

    @property
    def measured_ms(self) -> int:
        """Event time in ms since 1970."""
        return moment_ms(self.measured_at)


_decoder = msgspec.json.Decoder(AlertRaised)


def decode(value: bytes | None) -> AlertRaised:
    """The event in the value of a record on `red.alerts`.

    Raises:
        InvalidEvent: the bytes are no alert; no other exception is ever raised.
    """
    if len(value or b"") > MAX_ALERT:
        raise InvalidEvent(f"not an alert: it has more than {MAX_ALERT} bytes")
    try:
        alert = _decoder.decode(value or b"")
        (value or b"").decode()  # it is sent as a text: the decoder does not look into what it leaves out
        canonical(alert.id)
        moment_ms(alert.measured_at)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, InvalidUuid, InvalidEvent) as error:
        raise InvalidEvent(f"not an alert: {error}") from error
    to_basis_points(alert.red)
    to_basis_points(alert.threshold)
    return alert


def client_of(key: bytes | None) -> str:
    """The client_id in the key of a record on `red.alerts`.

    Raises:
        InvalidEvent: there is none.
    """
    client_id = (key or b"").decode(errors="replace")
    if not CLIENT_ID.fullmatch(client_id):
        raise InvalidEvent("the record's key is not a client_id")
    return client_id


class AlertSequence(NamedTuple):
    """How far the alerts of a subscription are: the last `seq`, and what disarmed its trigger.

    `disarmed_at` is the offset of the image that did, until another one arms it; a version that begins
    behind it is armed.
    """

    seq: int = 0
    disarmed_at: int | None = None


class Alert(NamedTuple):
    """An alert to be written: its client, and the event as it will stand on `red.alerts`."""

    client_id: str
    event: AlertRaised

    @property
    def value(self) -> bytes:
        """The value of its record on `red.alerts`, as JSON."""
        return orjson.dumps(msgspec.structs.asdict(self.event))


def uuid5(namespace: bytes, name: str) -> str:
    """The UUIDv5 (RFC 9562) of a name; `namespace` is 16 bytes. 3 times as fast as the standard library."""
    text = hashlib.sha1(namespace + name.encode(), usedforsecurity=False).hexdigest()
    variant = "89ab"[int(text[16], 16) & 3]
    return f"{text[:8]}-{text[8:12]}-5{text[13:16]}-{variant}{text[17:20]}-{text[20:32]}"


def alert_id(subscription_id: str, position: str) -> str:
    """The id of an alert: the UUIDv5 of the measurement's `partition:offset` in its subscription's id."""
    return uuid5(_namespace(subscription_id), position)


@lru_cache(maxsize=100_000)
def _namespace(subscription_id: str) -> bytes:
    return UUID(subscription_id).bytes


def make(reading: Measurement, version: ThresholdVersion, seq: int, partition: int) -> Alert:
    """The alert that a version raises about a reading: number `seq` (from 1) of its subscription."""
    position = f"{partition}:{reading.offset}"
    event = AlertRaised(
        id=alert_id(version.subscription_id, position),
        subscription_id=version.subscription_id,
        version=version.version,
        seq=seq,
        prev_seq=seq - 1,
        image_id=reading.image_id,
        red=reading.red_bp / 10000,
        threshold=version.threshold_bp / 10000,
        measured_at=rfc3339_of(reading.at),
        position=position,
    )
    return Alert(reading.client_id, event)
