"""Large answers of Kafka received where they stay, instead of being copied four times on the way.

asyncio's stream reader gathers what arrives in a buffer of its own and hands out copies, of which
aiokafka copies each partition again: fresh memory, every time. `enable_zero_copy_receive` teaches every
connection of the process otherwise. This touches private API of aiokafka, which is pinned;
`tests/red_common/kafka/patches/test_zero_copy_receive.py` holds it.
"""

import asyncio
import io
import logging
import struct
from collections import deque
from types import SimpleNamespace
from typing import Any, Final

import numpy as np
from aiokafka import conn

_Protocol: Final = conn.AIOKafkaProtocol
LARGE: Final = 64 << 10  # bytes; what is smaller is copied, so that it does not keep an answer alive
_LENGTH: Final = struct.Struct(">i")


def enable_zero_copy_receive() -> None:
    """From now on and for the whole process; safe to call twice."""
    conn.AIOKafkaProtocol = _Receiver
    conn.AIOKafkaConnection._read = staticmethod(_read)
    conn.io = SimpleNamespace(BytesIO=_reader_of)


class _Receiver(asyncio.BufferedProtocol):
    """Frames of a connection: a length of four bytes, and as many bytes.

    The driver's own protocol stays behind it, for what is written and for the end.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        self._inner = _Protocol(*args, **options)
        self._frames: deque[memoryview] = deque()
        self._news = asyncio.Event()
        self._ended = False
        self._begin()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The driver writes to it."""
        self._inner.connection_made(transport)

    def pause_writing(self) -> None:
        """The socket's send buffer is full."""
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """The send buffer has room again."""
        self._inner.resume_writing()

    def _begin(self) -> None:
        self._frame: memoryview | None = None
        self._length = bytearray(_LENGTH.size)
        self._missing = memoryview(self._length)

    def get_buffer(self, sizehint: int) -> memoryview:
        """What is missing of the length, or of the frame."""
        return self._missing

    def buffer_updated(self, nbytes: int) -> None:
        """So much of it has come."""
        self._missing = self._missing[nbytes:]
        if len(self._missing):
            return
        if self._frame is None:
            (size,) = _LENGTH.unpack(self._length)
            # not zeroed, unlike a bytearray; of huge pages where it is large
            self._frame = self._missing = memoryview(np.empty(size, np.uint8))  # type: ignore[arg-type]
            if size:
                return
        self._frames.append(self._frame)
        self._news.set()
        self._begin()

    def eof_received(self) -> bool:
        """The broker has closed its side: waiting readers learn that no frame follows."""
        self._end()
        return bool(self._inner.eof_received())

    def connection_lost(self, exc: Exception | None) -> None:
        """The same when the connection broke."""
        self._end()
        self._inner.connection_lost(exc)

    def _end(self) -> None:
        self._ended = True
        self._news.set()

    async def frame(self) -> memoryview:
        """The next one.

        Raises:
            IncompleteReadError: the connection has ended.
        """
        while not self._frames:
            if self._ended:
                raise asyncio.IncompleteReadError(b"", None)
            self._news.clear()
            await self._news.wait()
        return self._frames.popleft()


async def _read(connection_ref: Any) -> None:
    """As the driver has it: errors are its callback's, and a connection that leaks can be collected."""
    connection = connection_ref()
    if connection is None:
        return
    receiver = connection._protocol
    del connection
    while True:
        frame = await receiver.frame()
        connection = connection_ref()
        if connection is None:
            return
        connection._handle_frame(frame if len(frame) > LARGE else bytes(frame))
        del connection, frame  # it may be long until the next one


class _Reader:
    """Reads from a frame like a BytesIO, with views of what is large."""

    def __init__(self, frame: memoryview) -> None:
        self._frame, self._at = frame, 0

    def read(self, size: int) -> bytes | memoryview:
        """So many bytes, fewer at the end."""
        found = self._frame[self._at : self._at + size]
        self._at += len(found)
        # the driver's debug log can show bytes only
        return found if size > LARGE and not conn.log.isEnabledFor(logging.DEBUG) else bytes(found)


def _reader_of(frame: bytes | memoryview) -> Any:
    return _Reader(frame) if isinstance(frame, memoryview) else io.BytesIO(frame)
