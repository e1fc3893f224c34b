"""Bodies of requests are read within a time."""

import asyncio

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from red_common.web.errors import problems
from red_stats.web import bodies
from red_stats.web.sql import body_of


@pytest.mark.parametrize("read", [bodies.raw_body, body_of])
async def test_a_body_whose_end_never_comes_is_given_up(read, monkeypatch):
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.1)

    async def handle(request):
        return web.json_response(len(await read(request)))

    async def endless():
        yield b"SELECT "
        await asyncio.sleep(60)

    app = web.Application(middlewares=[problems()])
    app.router.add_post("/", handle)
    async with TestClient(TestServer(app)) as client, client.post("/", data=endless()) as answer:
        assert (answer.status, (await answer.json())["code"]) == (408, "request_timeout")
