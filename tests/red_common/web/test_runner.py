"""What a client gets that does not talk as most do, over a raw socket."""

import asyncio
import json

import pytest
from aiohttp import web

from red_common.web.errors import problems
from red_common.web.runner import Runner

SECONDS = 10


@pytest.fixture
async def port():
    async def echo(request):
        content = await request.read()
        for _ in range(100):  # the loop sees the end of the connection before it sends the answer
            await asyncio.sleep(0)
        return web.Response(body=content)

    app = web.Application(middlewares=[problems()])
    app.router.add_post("/echo", echo)
    runner = Runner(app, max_connections=100, keepalive_timeout=60, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield site.port
    await runner.cleanup()


async def answers(port, sent, *, ends=True):
    """Everything that comes until the server closes; `ends` says that the client closes its side first."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    if ends:
        writer.write_eof()
    async with asyncio.timeout(SECONDS):
        received = await reader.read()
    writer.close()
    return received


def a_request(*headers, body=b"hello", path="/echo"):
    lines = [f"POST {path} HTTP/1.1", "Host: red", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def problem_in(received):
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"Content-Type: application/problem+json" in head
    return json.loads(body)


@pytest.mark.parametrize("body", [b"hello", b"", b"x" * 300_000])
async def test_a_client_that_ends_its_side_behind_a_whole_request_is_answered(port, body):
    received = await answers(port, a_request(body=body))

    assert received.startswith(b"HTTP/1.1 200")
    assert received.endswith(b"\r\n\r\n" + body)


async def test_a_chunked_request_whose_sender_ends_its_side_is_answered(port):
    chunked = b"POST /echo HTTP/1.1\r\nHost: red\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"

    assert (await answers(port, chunked)).endswith(b"\r\n\r\nhello")


@pytest.mark.parametrize("cut", [10, -1])
async def test_a_request_that_ends_early_is_closed_without_an_answer(port, cut):
    assert await answers(port, a_request()[:cut]) == b""


async def test_an_idle_connection_whose_client_ends_its_side_is_closed_at_once(port):
    assert await answers(port, b"") == b""

    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(a_request())
    async with asyncio.timeout(SECONDS):
        await reader.readuntil(b"hello")
        writer.write_eof()
        assert await reader.read() == b""
    writer.close()


@pytest.mark.parametrize("path", ["/echo", "/nothing"])
async def test_an_expectation_that_is_unknown_is_a_417_problem(port, path):
    problem = problem_in(await answers(port, a_request("Expect: x", path=path)))

    assert (problem["status"], problem["code"], problem["detail"]) == (
        417,
        "bad_request",
        "Unknown Expect: x.",
    )


async def test_a_client_that_waits_for_continue_is_told_to(port):
    received = await answers(port, a_request("Expect: 100-continue"))

    assert received.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200")


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        a_request("Content-Length: 7"),
        a_request("Transfer-Encoding: chunked"),
        b"POST /echo HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
async def test_what_is_not_http_is_a_400_problem(port, sent):
    problem = problem_in(await answers(port, sent, ends=False))

    assert (problem["status"], problem["code"]) == (400, "bad_request")
