"""One client's connection to either service: what it may take, in seconds and bytes, and how it ends."""

import asyncio
import logging
import socket
from collections.abc import Collection, Coroutine
from typing import Any, Final

import aiohttp
from aiohttp import web

from red_common.problems import Problem
from red_common.web.errors import problem_of
from red_common.web.responses import guard, problem_response

log = logging.getLogger(__name__)

HEADER_SECONDS: Final = 10.0  # for the header of a request, however its bytes come
IDLE_SECONDS: Final = 30.0
UNREAD_SECONDS: Final = 30.0  # without progress, until a client is given up that does not read its answer
LINGER_SECONDS: Final = 10.0  # to read the rest of a refused body: a reset could overtake the response
LEFT_SECONDS: Final = 1.0  # after which a reader who has ended his side is taken to be gone
END_SECONDS: Final = 1.0  # the same, for those who have shown no key that would allow it
LINGER_BYTES: Final = 64 << 20  # the longest body there is: RED takes no more


class Connection(web.RequestHandler):
    """Takes what RequestHandler takes, and `header_seconds`; at `reads` also a POST only reads."""

    __slots__ = ("_begun", "_deadline", "_header_seconds", "_left", "_reads", "_since")

    def __init__(
        self, manager: web.Server, *, header_seconds: float, reads: Collection[str] = (), **options: Any
    ) -> None:
        super().__init__(manager, **options)
        self._reads = reads
        self._header_seconds = min(header_seconds, self.keepalive_timeout)
        self._deadline: asyncio.TimerHandle | None = None  # of a header, or of the connection
        self._begun = False  # a header
        self._left = LINGER_BYTES
        self._since = self._loop.time()  # with TLS, of the handshake

    @property
    def is_new(self) -> bool:
        """Whether no request has come yet."""
        return self._request_count == 0 and not self._force_close

    @property
    def is_idle(self) -> bool:
        """Whether it waits for a request."""
        return self._waiter is not None and not self._waiter.done()

    @property
    def is_ending(self) -> bool:
        """Whether all is said, and only the client's last bytes are waited for."""
        return self._force_close and self.transport is not None and not self.transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Give the client its times; the kernel ends a connection whose client stops to read."""
        connected = transport.get_extra_info("socket")
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(UNREAD_SECONDS * 1000))
        super().connection_made(transport)
        if not self._force_close:
            self._deadline = self._loop.call_at(self._since + self._header_seconds, self._end_header)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the client."""
        self._stop_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what has come, unless all is said: the rest of a body may cost nothing then."""
        if self._force_close:
            self._left -= len(data)
            if self._left < 0:
                self.close_transport()
            return
        super().data_received(data)
        if self._messages:
            self._stop_deadline()
        elif data and self.is_idle:
            self._begun = True
            if self._deadline is None:
                self._deadline = self._loop.call_later(self._header_seconds, self._end_header)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Keeps the connection open for one more answer if the client has sent a whole request.

        A client may end its side of the connection behind its last request, except with TLS, where both sides
        end together. What is cut is not answered.
        Where reads end with their askers, it has left if there is no answer within LEFT_SECONDS.
        """
        if self.transport is None or not self.transport.can_write_eof():
            return False
        method, path, is_whole = "", "", False
        if self._messages:
            message, body = self._messages[-1]
            method, path = getattr(message, "method", ""), getattr(message, "path", "")
            is_whole = body.is_eof()
        elif (request := self._current_request) is not None:
            method, path, is_whole = request.method, request.path, request.content.is_eof()
        if is_whole:
            self.close()  # after this answer
            reads_end = self._manager is not None and self._manager.handler_cancellation
            if reads_end and (method in ("GET", "HEAD") or path.partition("?")[0] in self._reads):
                self._stop_deadline()
                self._deadline = self._loop.call_later(LEFT_SECONDS, self.close_transport)
        return is_whole

    def refuse(self, problem: Problem | None = None) -> None:
        """Answers without a request, by default that another client has the place, and ends."""
        detail = "There are as many connections as may be open; try again later."
        response = guard(problem_response(problem or Problem("overloaded", detail, retry_after=1)))
        assert isinstance(response.body, bytes)
        headers = {**response.headers, "Content-Length": len(response.body), "Connection": "close"}
        lines = [f"HTTP/1.1 {response.status} {response.reason}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write("\r\n".join(lines).encode() + b"\r\n\r\n" + response.body)
        self._end(END_SECONDS)

    def close_transport(self) -> None:
        """Close the socket, as soon as what was said is sent."""
        if self.transport is not None:
            self.transport.close()

    def _end_header(self) -> None:
        self._deadline = None
        if self._begun:
            self.refuse(Problem("request_timeout", "The header came too slowly, or its end never came."))
        else:
            self.force_close()

    def _process_keepalive(self) -> None:
        self._keepalive_handle = None
        if not self._begun:  # a header that has begun has a deadline of its own
            super()._process_keepalive()

    def _handle_request(
        self, request: web.BaseRequest, *rest: Any
    ) -> Coroutine[Any, Any, tuple[web.StreamResponse, bool]]:
        self._current_request = request  # from now on, and not only once the task of this coroutine begins
        return super()._handle_request(request, *rest)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Sends the response, and deals with what the handler has left of the body.

        One that no middleware has seen, such as that to an Expect, is sent as a problem.
        """
        if isinstance(resp, web.HTTPException):
            resp = problem_response(problem_of(resp))
        if not resp.prepared:
            guard(resp)
        forbids = resp.status in (401, 403)
        if forbids:
            resp.force_close()
        self._current_request = request  # until all of it is dealt with
        try:
            sent, is_lost = await super().finish_response(request, resp, start_time)
            if not is_lost and not request.content.is_eof():
                goes_on = sent.keep_alive and not self._close and not self._force_close
                if not goes_on or not await self._skip(request.content):
                    self._end(END_SECONDS if forbids else self._lingering_time)
        finally:
            self._current_request = None
        return sent, is_lost

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The response to a request that is not HTTP, or to an error that no middleware has seen."""
        if status == 400:  # whose bytes may hold a key: no log shows them
            log.info("%s sent what is not HTTP: %s", request.remote, type(exc).__name__)
            cause = (message or "").partition("\n")[0].strip(" :.")[:200]
            problem = Problem("bad_request", f"The request is not HTTP as it should be: {cause}.")
        else:
            super().handle_error(request, status, exc, message)
            problem = Problem("internal_error", "Something went wrong; see the service's log.")
        response = problem_response(problem)
        response.force_close()
        return response

    async def _skip(self, body: aiohttp.StreamReader) -> bool:
        """Reads the rest of a body, so that another request may follow; whether its end has come."""
        left = LINGER_BYTES
        try:
            async with asyncio.timeout(self._lingering_time):
                while left > 0 and not body.is_eof():
                    left -= len(await body.readany())
        except (TimeoutError, ConnectionError, aiohttp.ClientError, web.RequestPayloadError):
            pass
        return body.is_eof()

    def _end(self, seconds: float) -> None:
        """Tells the client that no more will come, and reads on without looking, for so long at most."""
        self._force_close = True
        self._stop_deadline()
        if self._waiter is not None:
            self._waiter.cancel()
        if self.transport is None or self.transport.is_closing():
            return
        self.transport.write_eof()
        if self._reading_paused or self._buffer_paused:
            self.transport.resume_reading()
        self._deadline = self._loop.call_later(seconds, self.close_transport)

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline, self._begun = None, False
