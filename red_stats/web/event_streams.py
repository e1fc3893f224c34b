"""What both streams of server-sent events share: how many, how far behind a reader may be, and their end."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from aiohttp import web

from red_common.api_keys import Caller, Keyring
from red_common.problems import Problem
from red_common.web.responses import guard
from red_stats.web.places import Places

STREAMS: Final = 20  # of one client at once, in a worker
COMMENT_SECONDS: Final = 15.0
COMMENT: Final = b": still here\n\n"
BEHIND: Final = 1 << 20  # bytes that a reader may have left unread
PACE: Final = 1 << 16  # bytes that are written ahead of a reader that is told of much at once
PATIENCE: Final = 10.0  # seconds for which such a reader may take nothing
KEY_SECONDS: Final = 0.5  # between two looks at the keys of open streams


def stream_places() -> Places:
    """The places of all streams of each client in this process."""
    return Places(STREAMS, _too_many)


def may_read(keyring: Keyring, request: web.Request, scope: str) -> bool:
    """Whether the key of a request still opens this scope."""
    caller = keyring.authenticate(request.headers.get("Authorization"))
    return isinstance(caller, Caller) and caller.may(scope)


async def begun(request: web.Request, headers: Mapping[str, str] | None = None) -> web.StreamResponse:
    """A stream whose header is sent; it has these besides the usual ones."""
    response = guard(web.StreamResponse(headers={"Content-Type": "text/event-stream", **(headers or {})}))
    await response.prepare(request)
    return response


async def write(request: web.Request, response: web.StreamResponse, message: bytes) -> None:
    """Sends a message without waiting for a slow reader.

    Raises:
        ConnectionError: the reader has left, or is too far behind.
    """
    transport = _transport(request)
    if transport.get_write_buffer_size() + len(message) > BEHIND:
        raise ConnectionAbortedError(f"the reader is {BEHIND >> 20} MiB behind")
    transport.set_write_buffer_limits(high=2 * BEHIND)  # so that no write waits
    await response.write(message)


async def write_paced(request: web.Request, response: web.StreamResponse, message: bytes) -> None:
    """Sends a message once the reader has taken most of what was sent before.

    Raises:
        ConnectionError: the reader has left.
        TimeoutError: it takes nothing.
    """
    _transport(request).set_write_buffer_limits(high=PACE)
    async with asyncio.timeout(PATIENCE):
        await response.write(message)


def _transport(request: web.Request) -> asyncio.Transport:
    if request.transport is None:
        raise ConnectionResetError("the reader has left")
    return request.transport


def _too_many() -> Problem:
    detail = f"{STREAMS} streams of this client are open in this worker; close one first."
    return Problem("too_many_streams", detail, retry_after=15)


class Lifetimes:
    """Ends the streams that may not go on: one look at all of them every `seconds`."""

    def __init__(self, seconds: float = KEY_SECONDS) -> None:
        self._seconds = seconds
        self._open: dict[_Lifetime, None] = {}
        self._looking: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def within(self, may_go_on: Callable[[], bool]) -> Iterator[None]:
        """The block ends without an error once it may not go on, or everything ends."""
        task = asyncio.current_task()
        assert task is not None
        lifetime = _Lifetime(task, may_go_on)
        self._open[lifetime] = None
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        try:
            yield
        except asyncio.CancelledError:
            if not lifetime.is_over or task.uncancel() > 0:
                raise
        finally:
            del self._open[lifetime]

    def end(self) -> None:
        """Ends all of them."""
        for lifetime in self._open:
            lifetime.end()

    async def _look(self) -> None:
        while self._open:
            for lifetime in self._open:
                if not lifetime.may_go_on():
                    lifetime.end()
            await asyncio.sleep(self._seconds)


class _Lifetime:
    def __init__(self, task: "asyncio.Task[Any]", may_go_on: Callable[[], bool]) -> None:
        self._task, self.may_go_on = task, may_go_on
        self.is_over = False

    def end(self) -> None:
        if not self.is_over:
            self.is_over = True
            self._task.cancel()
