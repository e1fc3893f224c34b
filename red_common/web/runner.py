"""aiohttp's server, made to answer whoever can be answered, with as many connections as it can bear."""

import asyncio
import logging
from typing import Any, Final

from aiohttp import web

from red_common.tls import ServerCertificate
from red_common.web.connection import HEADER_SECONDS, IDLE_SECONDS, LINGER_SECONDS, Connection
from red_common.web.handshake import Handshake

log = logging.getLogger(__name__)

LOGGED_EVERY: Final = 60.0  # seconds


class Runner(web.AppRunner):
    """Runs an application; takes what AppRunner takes, and how many connections may be open.

    With a `certificate` it speaks HTTPS and nothing else.
    """

    __slots__ = ()

    def __init__(
        self,
        application: web.Application,
        *,
        max_connections: int,
        certificate: ServerCertificate | None = None,
        header_seconds: float = HEADER_SECONDS,
        keepalive_timeout: float = IDLE_SECONDS,
        lingering_time: float = LINGER_SECONDS,
        **options: Any,
    ) -> None:
        super().__init__(
            application,
            access_log=None,
            max_connections=max_connections,
            certificate=certificate,
            header_seconds=header_seconds,
            keepalive_timeout=keepalive_timeout,
            lingering_time=lingering_time,
            **options,
        )

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _Server(
            made.request_handler,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            **made._kwargs,
        )


class _Server(web.Server):
    def __init__(
        self, *handler: Any, max_connections: int, certificate: ServerCertificate | None, **options: Any
    ) -> None:
        super().__init__(*handler, **options)
        self._max_connections, self._certificate = max_connections, certificate
        self._open: dict[Connection | Handshake, None] = {}  # in the order in which they were made
        self._log_at = 0.0

    def __call__(self) -> Any:
        connection = Connection(self, loop=self._loop, **self._kwargs)
        if self._certificate is None:
            return connection
        return Handshake(
            connection,
            self._certificate.context(),
            seconds=self._kwargs["header_seconds"],
            on_begin=self._admit,
            on_end=lambda handshake: self._open.pop(handshake, None),
        )

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        assert isinstance(handler, Connection)
        self._admit(handler)

    async def shutdown(self, timeout: float | None = None) -> None:
        for one in [one for one in self._open if isinstance(one, Handshake)]:
            one.refuse()
        await super().shutdown(timeout)

    def _admit(self, handler: Connection | Handshake) -> None:
        """Give a new client a place, if need be that of somebody who says nothing, or refuse it."""
        if len(self._open) >= self._max_connections:
            self._log_crowd()
            self._close_ending()
        is_full = len(self._open) >= self._max_connections
        gives_way = (self._spared() or handler) if is_full else None
        self._open[handler] = None
        if gives_way is not None:
            gives_way.refuse()

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        assert isinstance(handler, Connection)
        self._open.pop(handler, None)
        super().connection_lost(handler, exc)

    def _close_ending(self) -> None:
        ending = [one for one in self._open if isinstance(one, Connection) and one.is_ending]
        for connection in ending:
            connection.close_transport()
            del self._open[connection]

    def _spared(self) -> Connection | Handshake | None:
        """The connection that is missed least, and on which no request is under way; None if there is none.

        So whoever opens connections and says nothing keeps nobody out.
        """
        new = next((one for one in self._open if one.is_new), None)
        return new or next((one for one in self._open if one.is_idle), None)

    def _log_crowd(self) -> None:
        now = self._loop.time()
        if now >= self._log_at:
            self._log_at = now + LOGGED_EVERY
            log.warning("%d connections are open, as many as may be: some give way", len(self._open))
