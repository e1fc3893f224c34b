"""Alerts through the stream, for people behind a firewall: told, and forwarded as signed webhooks."""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, NamedTuple

import aiohttp
from yarl import URL

from red_common.events import InvalidEvent
from red_common.web.trust import Trust
from red_stats.domain import delivery_kinds
from red_stats.domain.deliveries import Row
from red_stats.domain.retries import Outcome, retry_after_seconds
from red_stats.domain.signatures import headers as signed
from red_stats.local.answers import reason

FIRST_PAUSE: Final = 0.5  # seconds; each further one is twice as long
LONGEST_PAUSE: Final = 30.0
SILENCE: Final = 45.0  # seconds without a byte, three comments long: the connection is dead
FORWARD_SECONDS: Final = 15.0
LINE: Final = 1 << 20  # bytes
SERVICE: Final = b"listen"  # in place of a client_id: no webhook tells it


class CannotGoOn(Exception):
    """Raised when trying again would not help; the text says why."""


class _Event(NamedTuple):
    id: str
    data: bytes


class Forward(NamedTuple):
    """Where alerts go on to, and the secret that signs them."""

    url: str
    secret: str


class AlertListener:
    """Follows the alerts of a key's client, from now on; after an interruption behind the last one.

    Args:
        url: of RED_STATS.
        trusted: whom to believe there.
        out: gets each alert as one line of JSON.
        say: gets a line about each connection, and about everything that has to be tried again.
        pause: waits for so many seconds.
        jitter: a random number in 0..1.
        now: seconds since 1970.
    """

    def __init__(
        self,
        url: str,
        key: str,
        trusted: Trust,
        *,
        subscription: str | None,
        forward: Forward | None,
        out: Callable[[str], None],
        say: Callable[[str], None],
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._url, self._key, self._trusted = url, key, trusted
        self._subscription, self._forward = subscription, forward
        self._out, self._say = out, say
        self._pause, self._jitter, self._now = pause, jitter, now
        self._last: str | None = None
        self._failures = 0

    async def run(self) -> None:
        """Listen until cancelled.

        Raises:
            CannotGoOn: the key is refused, what comes next is no longer kept, or RED_STATS is not there.
        """
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=SILENCE)
        async with aiohttp.ClientSession(timeout=timeout, trust_env=False, read_bufsize=LINE) as session:
            while True:
                hint = 0.0
                try:
                    async with self._asked(session) as answer:
                        hint = await self._heard(session, answer)
                    why = "the stream has ended" if not hint else f"RED_STATS asks to wait for {hint:g} s"
                except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
                    why = f"RED_STATS at {self._url} does not answer ({error!r})"
                seconds = max(hint, self._delay(self._failures))
                self._failures += 1
                self._say(f"{why}; trying again in {seconds:.1f} s")
                await self._pause(seconds)

    def _asked(self, session: aiohttp.ClientSession) -> Any:
        headers = {"Authorization": f"Bearer {self._key}", "Accept": "text/event-stream"}
        if self._last is not None:
            headers["Last-Event-ID"] = self._last
        given = {} if self._subscription is None else {"subscription": self._subscription}
        return session.get(
            f"{self._url}/v1/alerts/stream",
            headers=headers,
            params=given,
            ssl=self._trusted,
            allow_redirects=False,
        )

    async def _heard(self, session: aiohttp.ClientSession, answer: aiohttp.ClientResponse) -> float:
        """Deals with one answer to its end; returns for how long it wants to be left alone."""
        if answer.status == 429 or answer.status >= 500:
            return self._hint(answer)
        if answer.status != 200 or answer.content_type != "text/event-stream":
            raise CannotGoOn(reason(answer.status, await answer.content.read(LINE)))
        self._say(f"listening to {self._url}")
        if self._last is None:  # nothing is missed either if it is interrupted before the first alert
            self._last = answer.headers.get("Red-Position")
        async for event in _events(answer.content):
            self._failures = 0
            if event is not None:
                await self._deal_with(session, event)
        return 0.0

    async def _deal_with(self, session: aiohttp.ClientSession, event: _Event) -> None:
        try:
            row = delivery_kinds.of_alert(SERVICE, event.data, 0)
            self._out(json.dumps(json.loads(event.data), separators=(",", ":")))
        except (InvalidEvent, ValueError) as error:
            raise CannotGoOn(f"an event of {self._url} is no alert: {error}") from error
        if self._forward is not None:
            await self._forwarded(session, self._forward, row)
        self._last = event.id

    async def _forwarded(self, session: aiohttp.ClientSession, forward: Forward, row: Row) -> None:
        """Returns once the receiver has taken it."""
        failures = 0
        while True:
            hint = 0.0
            given = signed([forward.secret], row.webhook_id, int(self._now()), row.body)
            given |= {"Content-Type": "application/json", "User-Agent": "RED_STATS/1"}
            try:
                async with session.post(
                    URL(forward.url, encoded=True),
                    data=row.body,
                    headers=given,
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(total=FORWARD_SECONDS),
                ) as answer:
                    if 200 <= answer.status < 300:
                        return
                    why, hint = f"answered {answer.status}", self._hint(answer)
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
                why = f"does not answer ({error!r})"
            seconds = max(hint, self._delay(failures))
            failures += 1
            self._say(f"{forward.url} {why} to {row.webhook_id}; trying again in {seconds:.1f} s")
            await self._pause(seconds)

    def _hint(self, answer: aiohttp.ClientResponse) -> float:
        outcome = Outcome(answer.status, None, 0, answer.headers.get("Retry-After"))
        return retry_after_seconds(outcome, self._now())

    def _delay(self, failures: int) -> float:
        return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(failures, 10)) * (0.5 + self._jitter() / 2)


async def _events(content: aiohttp.StreamReader) -> AsyncIterator[_Event | None]:
    """The events of a stream that have an id and data; None for each other sign of life."""
    last, data = "", list[bytes]()
    async for line in content:
        field, _, value = line.rstrip(b"\r\n").partition(b":")
        value = value.removeprefix(b" ")
        if field == b"id":
            last = value.decode(errors="replace")
        elif field == b"data":
            data.append(value)
        elif not line.strip():
            yield _Event(last, b"\n".join(data)) if data and last else None
            data = []
