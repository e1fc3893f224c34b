"""What a client may take of a service, over raw sockets: seconds, bytes, and places."""

import asyncio
import contextlib
import json
import ssl

import pytest
from aiohttp import web

from red_common.problems import Problem
from red_common.tls import ServerCertificate
from red_common.web.errors import problems
from red_common.web.runner import Runner
from tests.locked_kafka import Authority

SECONDS = 10  # a limit that only a failure reaches
LONG = 600  # of a time that must not be what ends it
REFUSALS = {
    "/401": "unauthenticated",
    "/403": "scope_missing",
    "/413": "body_too_large",
    "/429": "rate_limited",
}


@pytest.fixture(autouse=True)
def _ends_are_short(monkeypatch):
    monkeypatch.setattr("red_common.web.connection.END_SECONDS", 0.2)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(autouse=True, params=["http", "https"])
def files(request, authority, monkeypatch):
    """The certificate and key that services of a test have, None without TLS."""
    found = authority.certificate("red") if request.param == "https" else None
    monkeypatch.setattr(AService, "files", found)
    return found


def trusting(authorities):
    return ssl.create_default_context(cafile=authorities)


only_http = pytest.mark.parametrize("files", ["http"], indirect=True)


class AService:
    """A server with the addresses the tests need; `free` ends what is under way at /busy."""

    files = None  # of its certificate

    def __init__(self, **limits):
        self.free = asyncio.Event()
        self.begun = 0
        app = web.Application(middlewares=[problems()])
        app.router.add_post("/echo", self._echo)
        app.router.add_get("/busy", self._busy)
        app.router.add_get("/large", self._large)
        app.router.add_post("/kept", self._kept)
        for path in REFUSALS:
            app.router.add_route("*", path, self._refuse)
        self.trusted = trusting(self.files[0].with_name("ca.pem")) if self.files else None
        limits["certificate"] = ServerCertificate(*self.files) if self.files else None
        given = {"max_connections": 100, "header_seconds": LONG, "keepalive_timeout": LONG} | limits
        self._runner = Runner(app, shutdown_timeout=0.1, **given)

    async def __aenter__(self):
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = site.port
        return self

    async def __aexit__(self, *_):
        self.free.set()
        await self._runner.cleanup()

    @property
    def connections(self):
        return len(self._runner.server.connections)

    async def until(self, condition):
        async with asyncio.timeout(SECONDS):
            while not condition(self):  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def _echo(self, request):
        return web.Response(body=await request.read())

    async def _busy(self, request):
        self.begun += 1
        await self.free.wait()
        return web.Response(text="free")

    async def _large(self, request):
        return web.Response(body=bytes(32 << 20))

    async def _refuse(self, request):
        raise Problem(REFUSALS[request.path], "No.", close=True)

    async def _kept(self, request):
        raise Problem("overloaded", "Not now.")


class AClient:
    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    def send(self, data):
        self.writer.write(data)

    async def ask(self, path, method="GET"):
        self.send(f"{method} {path} HTTP/1.1\r\nHost: red\r\n\r\n".encode())
        return await self.answer()

    async def answer(self):
        """Status, headers in small letters, and body of the next answer."""
        async with asyncio.timeout(SECONDS):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
            return int(head.split()[1]), head, await self.reader.readexactly(length)

    async def end(self):
        """Everything that still comes until the server ends its side."""
        async with asyncio.timeout(SECONDS):
            with contextlib.suppress(ConnectionError):
                return await self.reader.read()
            return b""

    async def sends_until_closed(self, data):
        """Keeps on sending; returns once the service has closed the connection."""
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(SECONDS):
                while True:
                    self.send(data)
                    await self.writer.drain()
                    await asyncio.sleep(0.001)


@contextlib.asynccontextmanager
async def a_client(service, **options):
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port, ssl=service.trusted, **options)
    try:
        yield AClient(reader, writer)
    finally:
        writer.transport.abort()


def code_in(answer):
    status, head, body = answer
    problem = json.loads(body)
    assert problem["status"] == status
    assert "content-type: application/problem+json" in head
    assert "connection: close" in head
    return status, problem["code"]


@pytest.mark.parametrize("before", [0, 1], ids=["first request", "second request"])
async def test_a_header_must_be_complete_in_time_however_its_bytes_come(before):
    async with AService(header_seconds=1) as service, a_client(service) as client:
        for _ in range(before):
            assert (await client.ask("/echo", "POST"))[0] == 200
        client.send(b"GET /echo HTTP/1.1\r\nX: ")
        sending = asyncio.create_task(client.sends_until_closed(b"x"))

        answer = await client.answer()

        assert code_in(answer) == (408, "request_timeout")
        assert await client.end() == b""
        await sending
        await service.until(lambda it: not it.connections)


async def test_a_connection_that_says_nothing_is_closed_without_an_answer():
    async with AService(header_seconds=0.2) as service, a_client(service) as client:
        assert await client.end() == b""


async def test_an_idle_connection_is_closed_after_a_request():
    async with AService(keepalive_timeout=1) as service, a_client(service) as client:
        assert (await client.ask("/echo", "POST"))[0] == 200
        assert await client.end() == b""
        await service.until(lambda it: not it.connections)


async def test_a_request_that_takes_longer_than_a_header_may_is_answered():
    async with AService(header_seconds=0.5) as service, a_client(service) as client:
        client.send(b"GET /busy HTTP/1.1\r\nHost: red\r\n\r\n")
        await service.until(lambda it: it.begun)
        await asyncio.sleep(0.8)
        service.free.set()
        assert (await client.answer())[0] == 200


async def test_a_slow_body_is_not_a_slow_header():
    async with AService(header_seconds=0.5) as service, a_client(service) as client:
        client.send(b"POST /echo HTTP/1.1\r\nHost: red\r\nContent-Length: 4\r\n\r\n")
        for _ in range(4):
            await asyncio.sleep(0.2)
            client.send(b"x")
        assert (await client.answer())[2] == b"xxxx"


@pytest.mark.parametrize("said", [b"", b"GET /echo HTTP/1.1\r\nX: "], ids=["nothing", "half a header"])
async def test_those_who_say_nothing_keep_nobody_out_and_are_told_why_they_give_way(said):
    async with AService(max_connections=20) as service, contextlib.AsyncExitStack() as stack:
        kept = await stack.enter_async_context(a_client(service))
        assert (await kept.ask("/echo", "POST"))[0] == 200
        silent = []
        for _ in range(100):
            silent.append(await stack.enter_async_context(a_client(service)))
            silent[-1].send(said)

        other = await stack.enter_async_context(a_client(service))

        assert (await other.ask("/echo", "POST"))[0] == 200
        assert (await kept.ask("/echo", "POST"))[0] == 200
        answer = await silent[0].answer()
        assert code_in(answer) == (503, "overloaded")
        assert "retry-after: 1" in answer[1]
        assert await silent[0].end() == b""
        await service.until(lambda it: it.connections <= 20)


async def test_where_all_connections_are_in_use_a_further_one_is_refused_until_one_is_free():
    async with AService(max_connections=3) as service, contextlib.AsyncExitStack() as stack:
        busy = [await stack.enter_async_context(a_client(service)) for _ in range(3)]
        for client in busy:
            client.send(b"GET /busy HTTP/1.1\r\nHost: red\r\n\r\n")
        await service.until(lambda it: it.begun == 3)

        if service.trusted:  # whoever has not begun to speak TLS cannot be told why
            with pytest.raises(ConnectionError):
                await stack.enter_async_context(a_client(service))
        plain = [] if service.trusted else range(30)
        refused = [await stack.enter_async_context(a_client(service)) for _ in plain]

        for client in refused:
            assert code_in(await client.ask("/echo", "POST")) == (503, "overloaded")
            assert await client.end() == b""
        service.free.set()
        assert [(await client.answer())[0] for client in busy] == [200] * 3
        further = await stack.enter_async_context(a_client(service))
        assert (await further.ask("/echo", "POST"))[0] == 200


async def test_an_idle_connection_gives_way_to_a_new_client():
    async with AService(max_connections=1) as service, a_client(service) as idle:
        assert (await idle.ask("/echo", "POST"))[0] == 200
        async with a_client(service) as client:
            assert (await client.ask("/echo", "POST"))[0] == 200
            assert code_in(await idle.answer()) == (503, "overloaded")


@pytest.mark.parametrize("path", ["/401", "/403"])
@pytest.mark.parametrize("body", ["", "Content-Length: 100000\r\n", "Transfer-Encoding: chunked\r\n"])
async def test_a_401_or_403_closes_the_connection_at_once(path, body):
    async with AService(lingering_time=LONG) as service, a_client(service) as client:
        client.send(f"POST {path} HTTP/1.1\r\nHost: red\r\n{body}\r\n".encode())

        answer = await client.answer()

        assert code_in(answer) == (int(path[1:]), REFUSALS[path])
        assert await client.end() == b""
        await client.sends_until_closed(b"1\r\nx\r\n")
        await service.until(lambda it: not it.connections)


@pytest.mark.parametrize("path", ["/413", "/429", "/kept", "/nothing", "/busy"])
async def test_what_is_left_of_a_refused_body_takes_bounded_seconds(path):
    async with AService(lingering_time=0.3) as service, a_client(service) as client:
        client.send(f"POST {path} HTTP/1.1\r\nHost: red\r\nTransfer-Encoding: chunked\r\n\r\n".encode())

        assert (await client.answer())[0] >= 400
        await client.sends_until_closed(b"1\r\nx\r\n")

        await service.until(lambda it: not it.connections)


@pytest.mark.parametrize("path", ["/413", "/kept"])
async def test_what_is_left_of_a_refused_body_takes_bounded_bytes(path, monkeypatch):
    monkeypatch.setattr("red_common.web.connection.LINGER_BYTES", 1 << 20)
    async with AService(lingering_time=LONG) as service, a_client(service) as client:
        client.send(f"POST {path} HTTP/1.1\r\nHost: red\r\nTransfer-Encoding: chunked\r\n\r\n".encode())

        assert (await client.answer())[0] >= 400
        await client.sends_until_closed(b"10000\r\n" + bytes(1 << 16) + b"\r\n")

        await service.until(lambda it: not it.connections)


@only_http
async def test_nothing_is_parsed_behind_an_answer_that_closes():
    async with AService() as service, a_client(service) as client:
        client.send(b"POST /413 HTTP/1.1\r\nHost: red\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert (await client.answer())[0] == 413

        client.send(b"0\r\n\r\nGET /busy HTTP/1.1\r\nHost: red\r\n\r\n" * 3)
        client.writer.write_eof()

        assert await client.end() == b""
        await service.until(lambda it: not it.connections)
        assert service.begun == 0


async def test_a_client_that_sends_all_before_it_reads_gets_its_refusal():
    async with AService() as service, a_client(service) as client:
        client.send(b"POST /413 HTTP/1.1\r\nHost: red\r\nContent-Length: 5000000\r\n\r\n")
        for _ in range(50):
            client.send(bytes(100_000))
            await client.writer.drain()
        assert code_in(await client.answer()) == (413, "body_too_large")


async def test_behind_a_refusal_that_keeps_the_connection_the_rest_is_read_and_the_next_request_answered():
    async with AService() as service, a_client(service) as client:
        client.send(b"POST /kept HTTP/1.1\r\nHost: red\r\nContent-Length: 5000000\r\n\r\n")
        status, head, _ = await client.answer()
        assert (status, "connection: close" in head) == (503, False)

        client.send(bytes(5_000_000))

        assert (await client.ask("/echo", "POST"))[0] == 200


@pytest.mark.parametrize("goes", ["ends its side", "resets"])
async def test_a_client_that_goes_while_its_rest_is_read_leaves_nothing_open(goes):
    async with AService(lingering_time=LONG) as service, a_client(service) as client:
        client.send(b"POST /kept HTTP/1.1\r\nHost: red\r\nContent-Length: 5000000\r\n\r\nx")
        assert (await client.answer())[0] == 503

        if goes == "resets":
            client.writer.transport.abort()
        elif service.trusted:
            client.writer.close()
        else:
            client.writer.write_eof()

        await service.until(lambda it: not it.connections)


async def test_a_client_that_stops_to_read_is_not_waited_for(monkeypatch):
    monkeypatch.setattr("red_common.web.connection.UNREAD_SECONDS", 1)
    async with AService() as service, a_client(service) as silent:
        silent.send(b"GET /large HTTP/1.1\r\nHost: red\r\n\r\n")
        await service.until(lambda it: it.connections)
        silent.writer.transport.pause_reading()
        await service.until(lambda it: not it.connections)
