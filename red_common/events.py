"""The measurement event: RED's published language, and the only door out of RED.

Topic `red.measurements`, key = client_id, value = JSON (`schemas/events/measurement.json`).
Others may produce it too (backfill), with the same key and partitioner.
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
    """Raised when the bytes of a record are not a measurement; the text says why."""


class ImageMeasured(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One image was measured.

    `red`, `red_excess`, `red_channel` are shares in 0..1 with at most four decimals; `measured_at`
    is when the amount was computed (any zone, three decimals). Only the first four fields are
    needed to count; the rest describes the image and may be absent in a backfill.
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
    """Share in 0..1 with at most four decimals -> integer 0..10000.

    Raises:
        InvalidEvent: more than four decimals (that is an error, not rounding).
    """
    basis_points = round(share * 10000)
    if abs(share * 10000 - basis_points) > 1e-6:
        raise InvalidEvent(f"{share!r} has more than four decimals")
    return basis_points


def encode(event: ImageMeasured) -> bytes:
    """The event as the JSON value of its Kafka record; times in UTC with milliseconds."""
    fields = msgspec.structs.asdict(event)
    fields["measured_at"] = rfc3339(event.measured_at)
    return _encoder.encode(fields)


def is_from_future(event: ImageMeasured, logged_at: int) -> bool:
    """Whether Kafka's timestamp (ms) makes it a dead letter: measured more than 5 minutes after that."""
    return event.measured_at > EPOCH + timedelta(milliseconds=logged_at) + MAX_FUTURE


def decode(value: bytes | None) -> ImageMeasured:
    """The event in the value of a Kafka record; total: any bytes give an event or InvalidEvent.

    Raises:
        InvalidEvent: no JSON object, a field missing or of another type, `red` out of 0..1 or
            with more than four decimals, a client_id that is none.
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
    """UTC with milliseconds and `Z`, the one form in which we write times."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
