"""A connection before TLS is agreed on: it is counted, limited and given up like any other."""

import asyncio
import logging
import ssl
from collections.abc import Callable
from typing import Any, cast

from red_common.web.connection import Connection

log = logging.getLogger(__name__)


class Handshake(asyncio.Protocol):
    """Agrees on TLS with a client and hands it to `connection`; `on_begin` and `on_end` enclose that time.

    asyncio's own servers tell nobody of a connection before that, and know no way to give one up.
    """

    is_new = is_idle = True

    def __init__(
        self,
        connection: Connection,
        context: ssl.SSLContext,
        *,
        seconds: float,
        on_begin: Callable[["Handshake"], None],
        on_end: Callable[["Handshake"], None],
    ) -> None:
        self._connection, self._context, self._seconds = connection, context, seconds
        self._on_begin, self._on_end = on_begin, on_end
        self._early: list[bytes] = []
        self._plain: Any = None  # the transport
        self._agreeing: Any = None  # the coroutine, and the future it waits for
        self._waiter: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin at once: by the time a task had begun, the client's first bytes could have come here."""
        self._plain = transport
        self._agreeing = asyncio.get_running_loop().start_tls(
            self._plain, self, self._context, server_side=True, ssl_handshake_timeout=self._seconds
        )
        self._waiter = self._agreeing.send(None)
        self._waiter.add_done_callback(self._finish)
        self._on_begin(self)

    def data_received(self, data: bytes) -> None:
        """Keep what comes right behind the handshake for the connection."""
        self._early.append(data)

    def refuse(self) -> None:
        """Give the client up; there is no way yet to tell it why."""
        self._waiter.remove_done_callback(self._finish)
        self._waiter.cancel()
        self._agreeing.close()
        self._plain.abort()
        self._on_end(self)

    def _finish(self, waiter: Any) -> None:
        self._on_end(self)
        agreed = self._agreed()
        if agreed is None or self._plain.is_closing():  # the client may have gone
            self._plain.abort()
            return
        agreed.set_protocol(self._connection)
        self._connection.connection_made(cast(asyncio.Transport, _Encrypted(agreed, self._plain)))
        for data in self._early:
            self._connection.data_received(data)

    def _agreed(self) -> asyncio.Transport | None:
        try:
            self._agreeing.send(None)
        except StopIteration as done:
            return cast(asyncio.Transport, done.value)
        except OSError as error:  # such as plain HTTP, or no answer in time
            log.debug("no TLS with a client: %s", error)
        return None


class _Encrypted:
    """The transport of a connection with TLS; to close it, nobody waits for the client to agree."""

    def __init__(self, agreed: asyncio.Transport, plain: asyncio.Transport) -> None:
        self._agreed, self._plain = agreed, plain
        self.write, self.writelines, self.is_closing = agreed.write, agreed.writelines, agreed.is_closing

    def __getattr__(self, name: str) -> Any:
        return getattr(self._agreed, name)

    def write_eof(self) -> None:
        """Do nothing: with TLS one side cannot end alone."""

    def close(self) -> None:
        """Send what was said, and then that this is the end."""
        if not self._agreed.is_closing():
            self._agreed.close()
            if self._agreed.get_write_buffer_size() == 0:
                self._plain.close()
