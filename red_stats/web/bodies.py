"""Bodies of requests: read within a time, JSON decoded strictly and checked; what is wrong is a problem."""

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec
from aiohttp import web

from red_common.problems import Problem
from red_stats.domain.thresholds import NotAsExpected, exactly
from red_stats.web.parameters import NoSuchTime, moment_of

BODY_SECONDS: Final = 10.0
Body = TypeVar("Body", bound=msgspec.Struct)
Result = TypeVar("Result")


async def raw_body(request: web.Request) -> bytes:
    """The bytes of a body.

    Raises:
        Problem: 408 `request_timeout`.
        HTTPException: 413, it has more bytes than a request may have.
    """
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await request.read()
    except TimeoutError:
        detail = "The body came too slowly, or its end never came."
        raise Problem("request_timeout", detail, close=True) from None


async def read_body(request: web.Request, kind: type[Body], checked: Callable[[Body], Result]) -> Result:
    """What `checked` makes of the body; floats where `kind` says Any are read by `exactly`.

    Raises:
        Problem: 400 `invalid_body`, 408 `request_timeout`, or what `checked` raises.
    """
    raw = await raw_body(request)
    try:
        return checked(msgspec.json.Decoder(kind, float_hook=exactly).decode(raw))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, NotAsExpected) as error:
        raise Problem("invalid_body", f"The body is not valid: {error}.") from error


def moment_in(name: str, text: str) -> int:
    """The time of a field of a body, in ms since 1970.

    Raises:
        Problem: 400 `invalid_body`.
    """
    try:
        return moment_of(text)
    except NoSuchTime as error:
        raise Problem("invalid_body", f"{name}: {error}.") from error
