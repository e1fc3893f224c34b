"""One signed POST, guarded: no address is dialled that the rules refuse, whatever a name resolves to.

Only the status and Retry-After of the answer matter.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Final

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from red_stats.delivery.connections import REFUSED, AddressRefused, GuardedConnector
from red_stats.delivery.exchange import Exchange, exchange_of_task
from red_stats.delivery.failure_words import described
from red_stats.domain.retries import Outcome
from red_stats.domain.urls import refusal

READ_BYTES: Final = 4096
CONNECT_SECONDS: Final = 5.0
DRAIN_SECONDS: Final = 1.0


class WebhookClient:
    """POSTs to webhooks over the guarded connections of one connector, each within its `seconds`."""

    def __init__(self, connector: GuardedConnector) -> None:
        seconds = connector.seconds
        self._allow = connector.allow
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=seconds, sock_connect=min(CONNECT_SECONDS, seconds)),
            skip_auto_headers=("Accept-Encoding",),
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Outcome:
        """POST once; every failure is an Outcome whose text clients may read, never an exception."""
        reason = refusal(url, self._allow)
        if reason is not None:
            return Outcome(None, f"{REFUSED} ({reason})", 0, blocked=True)
        exchange = Exchange(asyncio.get_running_loop().time)
        exchange_of_task.set(exchange)
        status, retry_after, error, blocked, answer = None, None, None, False, b""
        try:
            async with self._session.post(
                URL(url, encoded=True),  # byte for byte as the client wrote it
                data=body,
                headers=_all_headers(headers),
                allow_redirects=False,
            ) as response:
                status, retry_after = response.status, response.headers.get("Retry-After")
                answer = await _drained(response)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as failure:
            if status is None:
                status, retry_after = exchange.head.status, exchange.head.retry_after
            if status is None:
                blocked = _is_blocked(failure)
                error = REFUSED if blocked else described(failure)
        if status is not None:
            error = _error_of(status)
        timing = exchange.timing()
        return Outcome(status, error, timing.total, retry_after, blocked, answer, timing)


def _all_headers(headers: Mapping[str, str]) -> CIMultiDict[str]:
    found = CIMultiDict({"User-Agent": "RED_STATS/1"})
    found.update(headers)
    found["Content-Type"] = "application/json"
    return found


async def _drained(response: aiohttp.ClientResponse) -> bytes:
    """The first READ_BYTES of an answer; its connection can be used again only if that was all."""
    read = bytearray()
    with contextlib.suppress(TimeoutError, aiohttp.ClientError):
        async with asyncio.timeout(DRAIN_SECONDS):
            while len(read) < READ_BYTES and (chunk := await response.content.read(READ_BYTES - len(read))):
                read += chunk
            if response.content.at_eof():
                return bytes(read)
    response.close()
    return bytes(read)


def _error_of(status: int) -> str | None:
    if 200 <= status < 300:
        return None
    if 300 <= status < 400:
        return f"answered {status}: redirects are not followed, update the URL"
    return f"answered {status}"


def _is_blocked(failure: BaseException | None) -> bool:
    while failure is not None:
        if isinstance(failure, AddressRefused):
            return True
        group = getattr(failure, "exceptions", ())
        if any(_is_blocked(inner) for inner in group):
            return True
        failure = getattr(failure, "os_error", None) or failure.__cause__ or failure.__context__
    return False
