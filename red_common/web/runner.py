"""aiohttp's server, made to answer whoever can be answered, with as many connections as it can bear."""

import asyncio
import logging
from typing import Any, Final

from aiohttp import web

from red_common.web.connection import HEADER_SECONDS, IDLE_SECONDS, LINGER_SECONDS, Connection

log = logging.getLogger(__name__)

LOGGED_EVERY: Final = 60.0  # seconds


class Runner(web.AppRunner):
    """Runs an application; takes what AppRunner takes, and `max_connections`, how many may be open."""

    __slots__ = ()

    def __init__(
        self,
        application: web.Application,
        *,
        max_connections: int,
        header_seconds: float = HEADER_SECONDS,
        keepalive_timeout: float = IDLE_SECONDS,
        lingering_time: float = LINGER_SECONDS,
        **options: Any,
    ) -> None:
        super().__init__(
            application,
            access_log=None,
            max_connections=max_connections,
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
    def __init__(self, *handler: Any, max_connections: int, **options: Any) -> None:
        super().__init__(*handler, **options)
        self._max_connections = max_connections
        self._open: dict[Connection, None] = {}  # in the order in which they were made
        self._log_at = 0.0

    def __call__(self) -> web.RequestHandler:
        return Connection(self, loop=self._loop, **self._kwargs)

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        assert isinstance(handler, Connection)
        if len(self._open) >= self._max_connections:
            self._log_crowd()
            self._close_ending()
        if len(self._open) >= self._max_connections:
            (self._spared() or handler).refuse()
        self._open[handler] = None

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        assert isinstance(handler, Connection)
        self._open.pop(handler, None)
        super().connection_lost(handler, exc)

    def _close_ending(self) -> None:
        for connection in [one for one in self._open if one.is_ending]:
            connection.close_transport()
            del self._open[connection]

    def _spared(self) -> Connection | None:
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
