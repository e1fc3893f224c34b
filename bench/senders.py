"""HTTP/1.1 by hand: a client library costs as much as what is measured."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple
from urllib.parse import urlsplit

MOST_IDLE = 10.0  # seconds; well before RED closes it, which could lose a request on its way


class Reply(NamedTuple):
    """`status` 0 is a connection that was closed before the answer."""

    status: int
    body: bytes
    retry_after: float = 0.0


class Senders:
    """Posts images of one client over connections that are kept."""

    def __init__(self, url: str, key: str) -> None:
        self._host, self._port = urlsplit(url).hostname, urlsplit(url).port
        self._head = (
            f"POST /red HTTP/1.1\r\nHost: {self._host}\r\nAuthorization: Bearer {key}\r\n"
            "Content-Type: image/jpeg\r\nContent-Length: "
        ).encode()
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter, float]] = []  # and since when

    async def post(self, content: bytes, tail: bytes, key: str = "") -> Reply:
        """`tail` is appended so that no two images are the same; `key` is the idempotency key, if any."""
        reader, writer = await self._connection()
        try:
            keyed = f'\r\nIdempotency-Key: "{key}"'.encode() if key else b""
            writer.write(self._head + b"%d%b\r\n\r\n" % (len(content) + len(tail), keyed))
            writer.write(content)
            writer.write(tail)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            body = await reader.readexactly(int(_header(head, b"content-length") or 0))
        except (OSError, asyncio.IncompleteReadError):
            writer.close()
            return Reply(0, b"")
        if b"\r\nconnection: close" in head:
            writer.close()
        else:
            self._idle.append((reader, writer, asyncio.get_running_loop().time()))
        return Reply(int(head.split(b" ", 2)[1]), body, float(_header(head, b"retry-after") or 0))

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self._idle:
            reader, writer, since = self._idle.pop()
            if asyncio.get_running_loop().time() - since < MOST_IDLE:
                return reader, writer
            writer.close()
        return await asyncio.open_connection(self._host, self._port)

    def close(self) -> None:
        for _, writer, _ in self._idle:
            writer.close()


@asynccontextmanager
async def senders(url: str, key: str) -> AsyncIterator[Senders]:
    made = Senders(url, key)
    try:
        yield made
    finally:
        made.close()


def _header(head: bytes, name: bytes) -> bytes:
    return head.partition(b"\r\n" + name + b": ")[2].partition(b"\r\n")[0]
