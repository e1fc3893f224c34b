"""Types of events' fields: whatever a producer wrote, what is read fits into rows and columns. Pure."""

from typing import Annotated

import msgspec

from red_common.events import InvalidEvent
from red_stats.domain.measurements import LAST_MS, milliseconds_of

Name = Annotated[str, msgspec.Meta(max_length=200)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Count16 = Annotated[int, msgspec.Meta(ge=0, le=(1 << 16) - 1)]
Count32 = Annotated[int, msgspec.Meta(ge=0, le=(1 << 32) - 1)]
Count63 = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
#: partition:offset; `\d` would take digits of any script, and `$` a line feed behind them
PlaceInLog = Annotated[str, msgspec.Meta(pattern=r"\A[0-9]{1,5}:[0-9]{1,18}\Z")]
NoPlaceOrOne = Annotated[str, msgspec.Meta(pattern=r"\A([0-9]{1,5}:[0-9]{1,18})?\Z")]


def moment_ms(text: str) -> int:
    """A time with a zone as ms since 1970.

    Raises:
        InvalidEvent: it is no such time, or it is outside 1970 to 9999.
    """
    try:
        [milliseconds] = milliseconds_of((text,))
    except (msgspec.MsgspecError, OverflowError) as error:
        raise InvalidEvent(str(error)) from error
    if not 0 <= milliseconds <= LAST_MS:
        raise InvalidEvent("a time is outside 1970 to 9999")
    return milliseconds
