"""Both services with clients that take what they can: connections, open files, the bytes of a body."""

import asyncio
import contextlib

import aiohttp
import psutil
import pytest

from tests.services import a_lower_soft_limit_of_files, red, running, worker

FILES = 1024
MOST = 256  # connections
SECONDS = 30  # a limit that only a failure reaches


@pytest.fixture(params=[red, worker], ids=["RED", "RED_STATS"])
def service(request, kafka, tmp_path):
    """A service that was started with a soft limit below the hard one."""
    with a_lower_soft_limit_of_files():
        starting = request.param(kafka, tmp_path, RED_MAX_CONNECTIONS=str(MOST))
    with running(starting) as service:
        yield service


async def test_those_who_say_nothing_or_have_no_key_hold_nobody_up(service):
    process = psutil.Process(service.process.pid)
    soft, hard = process.rlimit(psutil.RLIMIT_NOFILE)
    assert soft == hard, "the soft limit was not raised"
    process.rlimit(psutil.RLIMIT_NOFILE, (FILES, FILES))
    before = process.num_fds()
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(lambda: [writer.transport.abort() for _, writer in silent])
        silent = [await asyncio.open_connection("127.0.0.1", service.port) for _ in range(2 * FILES)]
        intruders = [asyncio.create_task(intrude(service.port)) for _ in range(8)]
        stack.callback(lambda: [intruder.cancel() for intruder in intruders])

        async with aiohttp.ClientSession() as session, asyncio.timeout(SECONDS):
            for _ in range(20):
                async with session.get(f"{service.url}/health/ready") as answer:
                    assert answer.status == 200

        assert process.num_fds() - before < MOST + 100
        assert not any(intruder.done() for intruder in intruders)
        async with asyncio.timeout(SECONDS):
            assert b" 503 " in await silent[0][0].readline()
            assert b'"overloaded"' in await silent[0][0].read()


async def intrude(port):
    """Sends, again and again, one byte after another behind a 401, for as long as it is let."""
    while True:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /red HTTP/1.1\r\nHost: red\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            async with asyncio.timeout(SECONDS):
                assert b" 401 " in await reader.readline()
                while True:
                    writer.write(b"1\r\nx\r\n" * 1000)
                    await writer.drain()
                    await asyncio.sleep(0.01)
        except ConnectionError:
            pass
        finally:
            writer.transport.abort()
