"""The measurement event: RED's published language, and all that RED_STATS learns from RED.

Topic `red.measurements`, key = client_id, value = JSON (`schemas/events/measurement.json`).
Other producers may write it too (a backfill), with the same key and partitioner.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import msgspec

TOPIC: Final = "red.measurements"

CLIENT_ID: Final = re.compile(r"[a-z0-9_-]{1,64}")
MAX_FUTURE: Final = timedelta(minutes=5)
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class InvalidEvent(ValueError):
    """Raised when the value of a record is not a valid measurement; the text says why."""


class ImageMeasured(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One image was measured.

    `red`, `red_excess` and `red_channel` are shares in 0..1 with at most four decimals (docs/red.md);
    `measured_at` is when they were computed, in any time zone, to the millisecond. Counting needs only
    the first four fields; the others describe the image, and a backfill may leave them out.
    """

    image_id: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    client_id: str
    measured_at: Annotated[datetime, msgspec.Meta(tz=True)]
    red: Annotated[float, msgspec.Meta(ge=0, le=1)]
    red_pixels: Annotated[int, msgspec.Meta(ge=0)] = 0
    pixels: Annotated[int, msgspec.Meta(ge=0)] = 0
    red_excess: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    red_channel: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    width: Annotated[int, msgspec.Meta(ge=0)] = 0
    height: Annotated[int, msgspec.Meta(ge=0)] = 0
    format: str = ""
    bytes: Annotated[int, msgspec.Meta(ge=0)] = 0
    sha256: str = ""
    rule: str = ""
    decoder: str = ""


_decoder = msgspec.json.Decoder(ImageMeasured)
_encoder = msgspec.json.Encoder()


def to_basis_points(share: float) -> int:
    """A share in 0..1 with at most four decimals, as an integer in 0..10000.

    Raises:
        InvalidEvent: it has more than four decimals; it is not rounded.
    """
    basis_points = round(share * 10000)
    if abs(share * 10000 - basis_points) > 1e-6:
        raise InvalidEvent(f"{share!r} has more than four decimals")
    return basis_points


def encode(event: ImageMeasured) -> bytes:
    """The event as the JSON value of its Kafka record, with `measured_at` in UTC to the millisecond."""
    fields = msgspec.structs.asdict(event)
    fields["measured_at"] = rfc3339(event.measured_at)
    return _encoder.encode(fields)


def is_from_future(event: ImageMeasured, logged_at: int) -> bool:
    """Whether the event is a dead letter: measured more than 5 minutes after Kafka logged it.

    `logged_at` is the timestamp of its record, in milliseconds since 1970.
    """
    return event.measured_at > EPOCH + timedelta(milliseconds=logged_at) + MAX_FUTURE


def decode(value: bytes | None) -> ImageMeasured:
    """The event in the value of a Kafka record; any bytes give either an event or InvalidEvent.

    Raises:
        InvalidEvent: the value is not a JSON object, a field is missing or has the wrong type, `red`
            is outside 0..1 or has more than four decimals, or the client_id is malformed.
    """
    if value is None:
        raise InvalidEvent("the record has no value")
    try:
        event = _decoder.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OverflowError) as error:
        raise InvalidEvent(str(error)) from error
    to_basis_points(event.red)
    if not CLIENT_ID.fullmatch(event.client_id):
        raise InvalidEvent("client_id is not [a-z0-9_-]{1,64}")
    return event


def rfc3339(moment: datetime) -> str:
    """The time as RFC 3339 in UTC, with milliseconds and `Z`: the one form in which we write times."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
