"""`/v1/alerts/stream`: every alert as it is raised, as server-sent events, resumed behind any of them."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, Final

from aiohttp import web

from red_common.kafka.connection import KafkaError
from red_common.problems import Problem
from red_common.web.auth import client_of
from red_common.web.responses import cut_off_when_failed
from red_stats.kafka.range_reader import RangeGone
from red_stats.resources import Resources
from red_stats.web.alert_reader import AlertEvent, AlertReader
from red_stats.web.alert_tail import START_SECONDS, AlertTail
from red_stats.web.alerts import is_known
from red_stats.web.event_streams import (
    COMMENT,
    COMMENT_SECONDS,
    Lifetimes,
    begun,
    may_read,
    write,
    write_paced,
)
from red_stats.web.parameters import POSITION, invalid, known
from red_stats.web.places import Places

SCOPE: Final = "subscriptions"
POSITION_HEADER: Final = "Red-Position"  # behind which the stream begins, for who loses it before an event
AHEAD: Final = 64 << 10  # bytes of the past that are written together


class AlertStreams:
    """The view. `places` are those of all streams; `comment_seconds` pass between two signs of life."""

    def __init__(
        self,
        resources: Resources,
        tail: AlertTail,
        places: Places,
        *,
        comment_seconds: float = COMMENT_SECONDS,
    ) -> None:
        self._resources, self._tail, self._places = resources, tail, places
        self._comment_seconds = comment_seconds
        self._lifetimes = Lifetimes()

    def routes(self) -> list[web.RouteDef]:
        """The route of this view."""
        return [web.get("/v1/alerts/stream", self.get)]

    async def stop(self) -> None:
        """End all streams."""
        self._lifetimes.end()
        await self._tail.stop()

    async def get(self, request: web.Request) -> web.StreamResponse:
        """Events `alert` for as long as the reader stays.

        Raises:
            Problem: 400 or 410, the position cannot be resumed behind; 404, no such subscription; 429
                `too_many_streams`; 503 `not_ready`, Kafka cannot be reached.
        """
        client_id = client_of(request, SCOPE)
        given = known(request, "subscription", "after")
        partition = self._resources.partition_of(client_id)
        after = _offset_of(request, given, partition)
        wanted = given.get("subscription")
        with self._places.taken_by(client_id):
            try:
                if wanted is not None:
                    await self._must_be_known(client_id, wanted)
                async with self._tail.followed():
                    start = None if after is None else after[1] + 1
                    with self._tail.reader(client_id, partition, start) as reader:
                        end = await self._tail.end(partition)
                        if after is None:
                            reader.pass_over(end)
                        elif after[1] >= end:
                            raise invalid(after[0], "it is beyond the end")
                        begin = end if start is None else start
                        headers = {POSITION_HEADER: f"{partition}:{begin - 1}"} if begin else {}
                        past = await reader.some() if reader.is_behind else []
                        return await self._stream(request, headers, reader, past, wanted)
            except RangeGone as error:
                detail = "Alerts behind this position are no longer kept; /v1/alerts has all of them."
                raise Problem("position_gone", detail) from error
            except (KafkaError, TimeoutError) as error:
                raise Problem("not_ready", "Kafka cannot be reached now; try again.") from error

    async def _stream(
        self,
        request: web.Request,
        headers: dict[str, str],
        reader: AlertReader,
        past: list[AlertEvent],
        wanted: str | None,
    ) -> web.StreamResponse:
        response = await begun(request, headers)
        if request.method == "HEAD":
            return response
        keyring = self._resources.keyring

        def may_go_on() -> bool:
            return may_read(keyring, request, SCOPE) and self._tail.feeds(reader)

        with self._lifetimes.within(may_go_on):
            async with cut_off_when_failed(request):
                teller, events, is_past = _Teller(request, response, self._comment_seconds), past, True
                while True:
                    await teller.tell(_joined(events, wanted), is_past=is_past)
                    is_past = reader.is_behind
                    events = await teller.until_known(reader.some())
        return response

    async def _must_be_known(self, client_id: str, subscription: str) -> None:
        subscriptions = self._resources.subscriptions
        if subscriptions.find(client_id, subscription) is not None:
            return
        async with asyncio.timeout(START_SECONDS):
            await subscriptions.follower.caught_up()  # another worker may have answered a moment ago
        if not await is_known(self._resources, client_id, subscription):
            raise Problem("not_found", "There is no such subscription.")


def _offset_of(request: web.Request, given: dict[str, str], partition: int) -> tuple[str, int] | None:
    """Which of header and parameter names the position to resume behind, and its offset."""
    headers = [text for text in request.headers.getall("Last-Event-ID", []) if text]
    name, text = ("Last-Event-ID", headers[0]) if headers else ("after", given.get("after"))
    if text is None:
        return None
    matched = POSITION.fullmatch(text)
    if matched is None or len(headers) > 1:
        raise invalid(name, "it must be partition:offset once, as in the id of an event")
    if int(matched[1]) != partition:
        raise invalid(name, f"alerts of this client are in partition {partition}")
    return name, int(matched[2])


class _Teller:
    """Tells a reader what there is, and after `comment_seconds` without that a comment."""

    def __init__(self, request: web.Request, response: web.StreamResponse, comment_seconds: float) -> None:
        self._request, self._response, self._comment_seconds = request, response, comment_seconds
        self._now = asyncio.get_running_loop().time
        self._told_at = self._now()

    async def tell(self, messages: Sequence[bytes], *, is_past: bool) -> None:
        """Sends messages, at the pace of the reader if they are of the past or many."""
        send = write_paced if is_past or len(messages) > 1 else write
        for message in messages:
            await send(self._request, self._response, message)
            self._told_at = self._now()

    async def until_known(self, coming: Coroutine[Any, Any, list[AlertEvent]]) -> list[AlertEvent]:
        """What comes; comments until then."""
        task = asyncio.create_task(coming)
        try:
            while True:
                left = self._told_at + self._comment_seconds - self._now()
                if left > 0 and (await asyncio.wait({task}, timeout=left))[0]:
                    return task.result()
                await self.tell([COMMENT], is_past=False)
        finally:
            task.cancel()


def _joined(events: list[AlertEvent], wanted: str | None) -> list[bytes]:
    """What to write, in pieces of about AHEAD bytes."""
    pieces: list[bytes] = []
    size, held = 0, list[bytes]()
    for event in events:
        if wanted is not None and event.subscription_id != wanted:
            continue
        held.append(event.message)
        size += len(event.message)
        if size > AHEAD:
            pieces.append(b"".join(held))
            size, held = 0, []
    return [*pieces, b"".join(held)] if held else pieces
