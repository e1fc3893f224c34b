"""A port with TLS: who does not agree on it costs nothing and keeps nobody out."""

import asyncio
import contextlib
import logging
import os
import socket
import ssl

import pytest
import uvloop

from red_common.tls import ServerCertificate
from red_common.web.connection import Connection
from tests.locked_kafka import Authority
from tests.red_common.web.test_connection import LONG, SECONDS, AService, a_client, trusting


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


@pytest.fixture(autouse=True)
def files(authority, monkeypatch):
    monkeypatch.setattr(AService, "files", authority.certificate("red"))
    return AService.files


def sockets_of_this_process():
    found = 0
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
    return found


@contextlib.asynccontextmanager
async def a_socket(service, said=b""):
    with socket.socket() as plain:
        plain.setblocking(False)
        await asyncio.get_running_loop().sock_connect(plain, ("127.0.0.1", service.port))
        plain.send(said)
        yield plain


async def until_closed(plain):
    async with asyncio.timeout(SECONDS):
        with contextlib.suppress(ConnectionError):
            while await asyncio.get_running_loop().sock_recv(plain, 1000):
                pass


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01\x02\x00\x01"], ids=["nothing", "half a hello"])
async def test_two_thousand_that_never_end_their_handshake_keep_nobody_out(said):
    before = sockets_of_this_process()
    async with AService(max_connections=50) as service, contextlib.AsyncExitStack() as stack:
        silent = []
        for _ in range(2000):
            silent.append(await stack.enter_async_context(a_socket(service, said)))
        other = await stack.enter_async_context(a_client(service))

        assert (await other.ask("/echo", "POST"))[0] == 200
        of_clients = len(silent) + 1
        async with asyncio.timeout(SECONDS):
            while sockets_of_this_process() - before - of_clients > 52:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await until_closed(silent[0])


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01\x02\x00\x01"], ids=["nothing", "half a hello"])
async def test_a_handshake_that_never_ends_is_given_up(said, caplog):
    async with AService(header_seconds=0.3) as service, a_socket(service, said) as silent:
        await until_closed(silent)
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []


async def test_the_time_for_a_header_begins_before_the_handshake(monkeypatch):
    async with AService(header_seconds=LONG) as service, a_socket(service) as plain:
        loop = asyncio.get_running_loop()
        started = loop.time()
        monkeypatch.setattr(Connection, "_end_header", lambda self: None)
        await service.until(lambda it: loop.time() - started > 0.2)
        _, writer = await asyncio.open_connection(
            sock=plain.dup(), ssl=service.trusted, server_hostname="127.0.0.1"
        )
        await service.until(lambda it: it.connections)

        [connection] = service._runner.server.connections

        assert connection._deadline.when() < started + LONG + 0.2
        writer.close()


@pytest.mark.parametrize(
    "said",
    [b"GET / HTTP/1.1\r\nHost: red\r\n\r\n", b"\x16\x03\x01\x00\x05hello", bytes(100_000)],
    ids=["HTTP", "no hello", "zeros"],
)
async def test_what_is_not_tls_is_closed_without_a_word_in_the_log(said, caplog):
    async with AService() as service:
        async with a_socket(service) as plain:
            with contextlib.suppress(ConnectionError):
                await asyncio.get_running_loop().sock_sendall(plain, said)
            await until_closed(plain)
        assert service.connections == 0
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []


async def test_garbage_behind_a_handshake_is_closed_without_a_word_in_the_log(caplog):
    async with AService() as service, a_client(service) as client:
        await service.until(lambda it: it.connections)
        encrypted = client.writer.get_extra_info("socket")
        os.write(encrypted.fileno(), b"garbage" * 10)
        await client.end()
        await service.until(lambda it: not it.connections)
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []


async def test_a_client_that_goes_during_its_handshake_leaves_nothing_open(caplog):
    async with AService() as service:
        before = sockets_of_this_process()
        async with a_socket(service, b"\x16\x03\x01"):
            await asyncio.sleep(0.05)
        await service.until(lambda it: sockets_of_this_process() <= before)
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []


async def test_a_client_that_does_not_agree_to_the_end_holds_no_place():
    async with AService(keepalive_timeout=1) as service, a_client(service) as client:
        assert (await client.ask("/echo", "POST"))[0] == 200
        client.writer.transport.pause_reading()  # an end of TLS is not answered

        await service.until(lambda it: not it.connections)


async def test_a_client_that_ends_tls_behind_its_request_brings_no_word_into_the_log(caplog):
    async with AService() as service, a_client(service) as client:
        client.send(b"GET /busy HTTP/1.1\r\nHost: red\r\n\r\n")
        await service.until(lambda it: it.begun)
        client.writer.close()
        await client.end()
        service.free.set()
        await service.until(lambda it: not it.connections)
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []


async def test_a_large_answer_comes_whole_behind_a_connection_that_closes():
    async with AService() as service, a_client(service) as client:
        client.send(b"GET /large HTTP/1.1\r\nHost: red\r\nConnection: close\r\n\r\n")
        assert len((await client.answer())[2]) == 32 << 20
        assert await client.end() == b""


@pytest.mark.parametrize("loop", [uvloop.new_event_loop, asyncio.new_event_loop], ids=["uvloop", "asyncio"])
def test_what_comes_in_one_piece_with_the_end_of_a_handshake_is_answered(loop):
    with asyncio.Runner(loop_factory=loop) as runner:
        assert runner.run(answer_to_one_piece()).startswith(b"HTTP/1.1 200")


async def answer_to_one_piece():
    """The answer to a client that sends its request right behind its last word of the handshake."""
    async with AService() as service:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = service.trusted.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
        loop = asyncio.get_running_loop()
        async with a_socket(service) as plain:
            with contextlib.suppress(ssl.SSLWantReadError):
                tls.do_handshake()
            await loop.sock_sendall(plain, outgoing.read())
            while True:
                incoming.write(await loop.sock_recv(plain, 1 << 16))
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    continue
            tls.write(b"POST /echo HTTP/1.1\r\nHost: red\r\nContent-Length: 0\r\n\r\n")
            await loop.sock_sendall(plain, outgoing.read())
            answer = b""
            async with asyncio.timeout(SECONDS):
                while b"\r\n\r\n" not in answer:
                    incoming.write(await loop.sock_recv(plain, 1 << 16))
                    with contextlib.suppress(ssl.SSLWantReadError):
                        answer += tls.read(1 << 16)
    return answer


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
async def test_tls_older_than_1_2_is_refused():
    async with AService(header_seconds=LONG) as service:
        old = trusting(service.files[0].with_name("ca.pem"))
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        old.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection("127.0.0.1", service.port, ssl=old)


async def shown_by(service):
    async with a_client(service) as client:
        assert (await client.ask("/echo", "POST"))[0] == 200
        found = client.writer.get_extra_info("peercert")
        return found["serialNumber"]


async def test_a_changed_certificate_is_used_once_its_key_has_come_too(authority, files, caplog):
    async with AService() as service:
        first = await shown_by(service)
        assert await shown_by(service) == first
        certificate, key = authority.certificate("another")

        certificate.replace(files[0])
        assert await shown_by(service) == first
        key.replace(files[1])
        assert await shown_by(service) != first
    assert "is not the key of the certificate" in caplog.text


async def test_a_certificate_that_is_gone_stays_in_use(files):
    async with AService() as service:
        files[0].unlink()
        await shown_by(service)


async def test_a_server_that_stops_waits_for_no_handshake():
    service = AService(header_seconds=LONG)
    await service.__aenter__()
    async with a_socket(service) as silent:
        await asyncio.sleep(0.05)
        async with asyncio.timeout(SECONDS):
            await service.__aexit__()
        await until_closed(silent)


def test_the_files_are_checked_before_anything_starts(files):
    assert ServerCertificate(*files).context().minimum_version == ssl.TLSVersion.TLSv1_2
