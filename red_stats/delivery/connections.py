"""Connections to webhooks: only to addresses that the rules allow, none for longer than MOST_AGE, few idle.

The resolver refuses a name if any of its addresses is refused; literal addresses never reach a resolver,
so the socket factory checks every address that is dialled. A name may come to mean another address at any
time, which an old connection would never notice.
"""

import asyncio
import socket
import ssl
from collections.abc import Sequence
from functools import partial
from ipaddress import ip_address
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.connector import Connection

from red_common.networks import Network
from red_stats.delivery.exchange import Connected, Exchange, exchange_of_task
from red_stats.domain.urls import is_allowed

MOST_AGE: Final = 60.0  # seconds
MOST_IDLE: Final = 256  # connections kept, as many as POSTs are under way; each is an open file
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
        if (exchange := exchange_of_task.get()) is not None:
            exchange.resolved()
        return answers

    async def close(self) -> None:
        """Close the underlying resolver."""
        await self._resolver.close()


class _Answers(ResponseHandler):
    """aiohttp's side of one connection, which tells each exchange of its answer, and knows its own age.

    It is made when TCP is connected.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, most_age: float) -> None:
        super().__init__(loop)
        self._made_at, self._most_age = loop.time(), most_age
        self._ready_at = self._made_at
        self._exchange: Exchange | None = None
        self._end: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._ready_at = asyncio.get_running_loop().time()
        self._end = asyncio.get_running_loop().call_at(self._made_at + self._most_age, transport.close)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._end is not None:
            self._end.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        is_odd = self._exchange is not None and not self._exchange.received(data)
        if is_odd and self.transport is not None:
            self.transport.abort()
        super().data_received(data)

    def begins(self, exchange: Exchange, now: float, seconds: float, *, is_tls: bool) -> bool:
        """Whether an exchange of `seconds` would end in time; the next bytes are then its answer.

        The first exchange always may begin: a connection is never made for nothing.
        """
        is_first, self._exchange = self._exchange is None, exchange
        exchange.begins(Connected(self._made_at, self._ready_at, is_tls) if is_first else None)
        return is_first or now - self._made_at <= self._most_age - seconds


class GuardedConnector(aiohttp.TCPConnector):
    """Connections to addresses that `allow` admits, for exchanges that take at most `seconds`.

    Create it in a running loop.
    """

    def __init__(
        self,
        allow: Sequence[Network],
        *,
        seconds: float,
        resolver: AbstractResolver | None = None,
        tls: ssl.SSLContext | None = None,
        most_age: float = MOST_AGE,
    ) -> None:
        super().__init__(
            resolver=GuardResolver(allow, resolver),
            socket_factory=partial(_socket, allow),
            use_dns_cache=False,
            limit=0,
            limit_per_host=0,
            keepalive_timeout=30,
            ssl=tls or True,
        )
        self.allow, self.seconds = allow, seconds
        most_age = max(most_age, seconds)
        self._factory = partial(_Answers, asyncio.get_running_loop(), most_age)  # type: ignore[assignment]

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Any], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        """A connection of the pool that is young enough, else a new one."""
        loop = asyncio.get_running_loop()
        exchange = exchange_of_task.get() or Exchange(loop.time)
        while True:
            connection = await super().connect(req, traces, timeout)
            protocol = connection.protocol
            assert isinstance(protocol, _Answers)
            if protocol.begins(exchange, loop.time(), self.seconds, is_tls=req.is_ssl()):
                return connection
            connection.close()

    def _release(self, key: ConnectionKey, protocol: ResponseHandler, *, should_close: bool = False) -> None:
        super()._release(key, protocol, should_close=should_close or self._is_full())

    def _is_full(self) -> bool:
        if sum(map(len, self._conns.values())) < MOST_IDLE:
            return False
        idle = sum(one.is_connected() for kept in self._conns.values() for one, _ in kept)
        return idle >= MOST_IDLE


def _socket(allow: Sequence[Network], info: Any) -> socket.socket:
    family, kind, protocol, _, address = info
    if not is_allowed(ip_address(address[0]), allow):
        raise AddressRefused(REFUSED)
    created = socket.socket(family, kind, protocol)
    created.setblocking(False)
    return created
