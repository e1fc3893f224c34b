"""`/v1/live/stream`: what `/v1/live` says, again whenever it says something else, as server-sent events."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

from aiohttp import web

from red_common.api_keys import Keyring
from red_common.problems import Problem
from red_common.web.auth import client_of
from red_common.web.responses import cut_off_when_failed
from red_stats.web.event_streams import COMMENT, COMMENT_SECONDS, begun, may_read, write
from red_stats.web.owner_proxy import SECONDS
from red_stats.web.parameters import known
from red_stats.web.places import Places
from red_stats.web.shared_looks import LiveNow, Look, SharedLooks

LOOK_SECONDS: Final = 0.2  # so a stream has at most 5 events a second


class LiveStreams:
    """The view. A stream ends when its key may no longer read, or when the worker that holds the client goes.

    It begins once a worker holds the client, within `seconds`. `places` are those of all streams; `pause`
    waits between two looks; `now` is a clock in seconds.
    """

    def __init__(
        self,
        live_now: LiveNow,
        keyring: Keyring,
        places: Places,
        *,
        seconds: float = SECONDS,
        pause: Callable[[float], Awaitable[Any]] = asyncio.sleep,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keyring = keyring
        self._seconds, self._pause, self._now = seconds, pause, now
        self._places = places
        self._looks = SharedLooks(live_now, LOOK_SECONDS, now)

    def routes(self) -> list[web.RouteDef]:
        """The route of this view."""
        return [web.get("/v1/live/stream", self.get)]

    async def get(self, request: web.Request) -> web.StreamResponse:
        """Events `live` for as long as the reader stays.

        Raises:
            Problem: 429 `too_many_streams`; 503 `not_ready`, no worker holds the client's counts.
        """
        client_id = client_of(request, "statistics")
        known(request)
        with self._places.taken_by(client_id), self._looks.of(client_id) as look:
            messages = self._messages(look, request)
            first = await anext(messages, None)
            if first is None:
                raise Problem("not_ready", "No worker holds this client's counts now; try again.")
            response = await begun(request)
            if request.method == "HEAD":
                return response
            async with cut_off_when_failed(request):
                await write(request, response, first)
                async for message in messages:
                    await write(request, response, message)
            return response

    async def _messages(self, look: Callable[[], Look], request: web.Request) -> AsyncIterator[bytes]:
        began = said_at = self._now()
        told = b""
        while may_read(self._keyring, request, "statistics"):
            looking = look()
            await asyncio.wait({looking}, timeout=LOOK_SECONDS)  # a key may end before there is an answer
            seen = looking.done()
            body = looking.result() if seen else None
            if seen and body is None and (told or self._now() >= began + self._seconds):
                return
            if body is not None and (counts := _without_time(body)) != told:
                told, said_at = counts, self._now()
                yield b"event: live\ndata: " + body + b"\n\n"
            elif told and self._now() >= said_at + COMMENT_SECONDS:
                said_at = self._now()
                yield COMMENT
            if seen:
                await self._pause(LOOK_SECONDS)


def _without_time(body: bytes) -> bytes:
    return body.rpartition(b',"time":')[0]  # it stands last: every answer has another one
