"""One signed POST, guarded: no address is dialled that the rules refuse, whatever a name resolves to.

The resolver refuses a name if any of its addresses is refused; literal addresses never reach a resolver,
so the socket factory checks every address that is dialled. Only the status, Retry-After and the length of
the answer matter.
"""

import asyncio
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from red_stats.domain.retries import Outcome
from red_stats.domain.urls import Network, is_allowed, refusal

READ_BYTES: Final = 4096
CONNECT_SECONDS: Final = 5.0
DNS_SECONDS: Final = 3.0
REFUSED: Final = "the webhook's address is not allowed"


class AddressRefused(OSError):
    """Raised instead of dialling an address that the rules refuse."""


class GuardResolver(AbstractResolver):
    """Resolves names, and refuses a name if any of its addresses is refused."""

    def __init__(self, allow: Sequence[Network], resolver: AbstractResolver | None = None) -> None:
        self._allow = allow
        self._resolver = resolver or aiohttp.AsyncResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of a name, all of them allowed.

        Raises:
            AddressRefused: one of them is not.
            OSError: the name has no address, or no answer came within 3 s.
        """
        async with asyncio.timeout(DNS_SECONDS):
            answers = await self._resolver.resolve(host, port, family)
        if not answers:
            raise OSError("the name has no address")
        if not all(is_allowed(ip_address(answer["host"]), self._allow) for answer in answers):
            raise AddressRefused(REFUSED)
        return answers

    async def close(self) -> None:
        """Close the underlying resolver."""
        await self._resolver.close()


class WebhookClient:
    """POSTs to webhooks over one guarded session, each within `seconds`; create it in a running loop."""

    def __init__(
        self, allow: Sequence[Network], *, seconds: float, resolver: AbstractResolver | None = None
    ) -> None:
        self._allow = allow
        connector = aiohttp.TCPConnector(
            resolver=GuardResolver(allow, resolver),
            socket_factory=self._socket,
            use_dns_cache=False,
            limit=0,
            limit_per_host=0,
            keepalive_timeout=30,
        )
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
        started = time.monotonic()
        status: int | None = None
        error, retry_after, blocked = None, None, False
        try:
            async with self._session.post(
                url,
                data=body,
                headers={**headers, "Content-Type": "application/json", "User-Agent": "RED_STATS/1"},
                allow_redirects=False,
            ) as response:
                status, retry_after = response.status, response.headers.get("Retry-After")
                if not await _drained(response.content):
                    response.close()  # a long answer is not read; the connection is closed
            error = _error_of(status)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as failure:
            blocked = _is_blocked(failure)
            error, status = (REFUSED if blocked else _described(failure)), None
        ms = int((time.monotonic() - started) * 1000)
        return Outcome(status, error, ms, retry_after, blocked)

    def _socket(self, info: Any) -> socket.socket:
        family, kind, protocol, _, address = info
        if not is_allowed(ip_address(address[0]), self._allow):
            raise AddressRefused(REFUSED)
        created = socket.socket(family, kind, protocol)
        created.setblocking(False)
        return created


async def _drained(content: aiohttp.StreamReader) -> bool:
    """Whether the answer ended within READ_BYTES, so that the connection can be used again."""
    left = READ_BYTES
    while left > 0:
        chunk = await content.read(left)
        if not chunk:
            return True
        left -= len(chunk)
    return content.at_eof()


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


def _described(failure: Exception) -> str:
    """The kind of failure in words for clients, without any address of ours."""
    if isinstance(failure, TimeoutError):
        return "timed out"
    if isinstance(failure, aiohttp.ClientConnectorCertificateError | ssl.SSLError):
        return "the certificate is not valid"
    if isinstance(failure, aiohttp.ClientConnectorSSLError):
        return "TLS failed"
    if isinstance(failure, aiohttp.ClientConnectorDNSError):
        return "the name could not be resolved"
    if isinstance(failure, aiohttp.ClientConnectorError):
        return "could not connect"
    if isinstance(failure, aiohttp.ServerDisconnectedError | ConnectionResetError):
        return "closed the connection without an answer"
    if isinstance(failure, aiohttp.ClientResponseError | aiohttp.ClientPayloadError):
        return "answered with something that is not HTTP"
    return "the request failed"
