"""Who leaves: a read ends with him, over a real connection, and a change is carried through."""

import asyncio
import socket
import struct

import pytest
from aiohttp import web

from red_common.web import connection
from red_common.web.runner import Runner
from red_stats.web.changes import READS, changes_go_on


class Handler:
    """Of any request; `begun`, then `ended` or `cancelled`."""

    def __init__(self):
        self.begun, self.told, self.go_on = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.end = None

    async def handle(self, request):
        self.begun.set()
        try:
            await self.go_on.wait()
            self.end = "ended"
        except asyncio.CancelledError:
            self.end = "cancelled"
            raise
        finally:
            self.told.set()
        return web.Response()


@pytest.mark.parametrize("is_abrupt", [True, False])
@pytest.mark.parametrize(
    ("method", "path", "end"),
    [
        ("GET", "/", "cancelled"),
        ("HEAD", "/", "cancelled"),
        ("POST", "/", "ended"),
        ("DELETE", "/", "ended"),
        ("POST", "/v1/sql?format=CSV", "cancelled"),
        *[("POST", path, "cancelled") for path in READS],
    ],
)
async def test_a_read_ends_when_its_asker_leaves_and_a_change_is_carried_through(
    method, path, end, is_abrupt, monkeypatch
):
    monkeypatch.setattr(connection, "LEFT_SECONDS", 0.1)
    handler = Handler()
    app = web.Application(middlewares=[changes_go_on()])
    app.router.add_route("*", path.partition("?")[0], handler.handle)
    runner = Runner(app, max_connections=10, reads=READS, handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    _, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: red\r\n\r\n".encode())
    async with asyncio.timeout(10):
        await handler.begun.wait()
        if is_abrupt:
            linger = struct.pack("ii", 1, 0)  # then a close is a reset
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.close()
        await writer.wait_closed()
        if end == "ended":
            await asyncio.sleep(0.3)  # long enough for the server to take him for gone
            handler.go_on.set()
        await handler.told.wait()
    await runner.cleanup()
    assert handler.end == end
