"""Odd receivers: what each of them is told to be, and that none of them gets more than one POST."""

import asyncio
import contextlib
import datetime
import ipaddress
import socket
import ssl
import struct

import pytest
from aiohttp.abc import AbstractResolver
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from red_stats.delivery import webhook_client
from red_stats.delivery.connections import MOST_IDLE, GuardedConnector
from red_stats.delivery.shares import LIMITS, Kind
from red_stats.delivery.webhook_client import WebhookClient

LOOPBACK = [ipaddress.ip_network("127.0.0.0/8")]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@contextlib.asynccontextmanager
async def a_receiver(answer, tls=None):
    """A server whose connections are handled by `answer(head, writer)` request after request."""
    requests, connections = [], set()

    async def serve(reader, writer):
        connections.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(2)
                requests.append((head, id(writer)))
                await answer(head, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1], requests
    finally:
        server.close()
        for writer in connections:
            writer.close()


@contextlib.asynccontextmanager
async def a_client(**options):
    client = WebhookClient(GuardedConnector(LOOPBACK, **({"seconds": 3} | options)))
    try:
        yield client
    finally:
        await client.close()


def saying(data):
    async def answer(_, writer):
        writer.write(data)
        await writer.drain()
        writer.close()

    return answer


async def outcome_of(data, **options):
    async with a_receiver(saying(data)) as (port, _), a_client(**options) as client:
        return await client.post(f"http://127.0.0.1:{port}/", {}, b"{}")


ODD_ANSWERS = {
    "a chunk that is none": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc",
    "a body that is cut": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc",
    "gzip that is none": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
    "a length and chunks": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "a length that is none": b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nabcd",
    "a body where there is none": b"HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\nabc",
    "no reason": b"HTTP/1.1 202\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\n\r\nhello",
    "bare line feeds": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "a header without a colon": b"HTTP/1.1 200 OK\r\nBad Header\r\nContent-Length: 0\r\n\r\n",
    "a header with a NUL": b"HTTP/1.1 200 OK\r\nX: a\x00b\r\nContent-Length: 0\r\n\r\n",
    "a header of 12 kB": b"HTTP/1.1 200 OK\r\nX: " + b"a" * 12_000 + b"\r\nContent-Length: 0\r\n\r\n",
    "200 headers": b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 200 + b"Content-Length: 0\r\n\r\n",
    "headers without an end": b"HTTP/1.1 200 OK\r\nX: a",
    "early hints": b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200\r\nBad Header\r\n\r\n",
    "more than was announced": OK + b"and more",
    "a version of its own": b"HTTP/2 200\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("name", ODD_ANSWERS)
async def test_a_2xx_is_a_delivery_whatever_else_the_answer_holds(name):
    outcome = await outcome_of(ODD_ANSWERS[name])
    assert outcome.status in (200, 202, 204)
    assert outcome.error is None


async def test_a_2xx_whose_body_never_ends_is_a_delivery_soon():
    async def answer(_, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\na")
        await asyncio.sleep(30)

    async with a_receiver(answer) as (port, _), a_client(seconds=20) as client, asyncio.timeout(10):
        outcome = await client.post(f"http://127.0.0.1:{port}/", {}, b"{}")
    assert (outcome.status, outcome.error) == (200, None)


async def test_an_odd_answer_that_is_no_2xx_keeps_its_status_and_retry_after():
    outcome = await outcome_of(b"HTTP/1.1 503 Busy\r\nretry-after:  7\r\nBad Header\r\n\r\n")
    assert (outcome.status, outcome.error, outcome.retry_after) == (503, "answered 503", "7")


@pytest.mark.parametrize(
    "answer", [b"hello", b"", b"HTTP/1.1 2000 OK\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 20"]
)
async def test_what_has_no_status_is_no_delivery(answer):
    outcome = await outcome_of(answer)
    assert outcome.status is None
    assert outcome.error in (
        "answered with something that is not HTTP", "closed the connection without an answer",
    )  # fmt: skip


async def test_an_endpoint_may_send_16_kib_before_its_status_and_no_more():
    async def answer(_, writer):
        while True:
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 50)
            await writer.drain()

    async with a_receiver(answer) as (port, _), a_client(seconds=20) as client, asyncio.timeout(10):
        outcome = await client.post(f"http://127.0.0.1:{port}/", {}, b"{}")
    assert outcome.status is None


@pytest.mark.parametrize(
    ("target", "sent"),
    [
        ("/a/../b/%7e%2F%zz;x?q=a+b&c=%27'&d=[1]", "/a/../b/%7e%2F%zz;x?q=a+b&c=%27'&d=[1]"),
        ("/%E2%82%AC//x/.?a=%20", "/%E2%82%AC//x/.?a=%20"),
        ("", "/"),
        ("?a=1", "/?a=1"),
    ],
)
async def test_a_url_is_called_byte_for_byte_as_it_was_written(target, sent):
    async with a_receiver(saying(OK)) as (port, requests), a_client() as client:
        await client.post(f"http://127.0.0.1:{port}{target}", {}, b"{}")
    assert requests[0][0].split(b"\r\n")[0] == f"POST {sent} HTTP/1.1".encode()


async def keep(_, writer):
    writer.write(OK)
    await writer.drain()


async def test_a_connection_is_used_again_while_it_is_young_and_never_beyond_its_age():
    async with a_receiver(keep) as (port, requests), a_client(seconds=2, most_age=2.4) as client:
        loop, url = asyncio.get_running_loop(), f"http://127.0.0.1:{port}/"
        began = loop.time()
        while loop.time() < began + 1.5:
            assert (await client.post(url, {}, b"{}")).status == 200
        connections = [connection for _, connection in requests]
        assert len(requests) > 20
        assert 3 <= len(set(connections)) <= 8


async def test_as_many_connections_are_used_again_as_posts_are_under_way():
    made = 0

    async def serve(reader, writer):
        nonlocal made
        made += 1
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(2)
                await keep(None, writer)
        writer.close()

    server = await asyncio.start_server(serve, "0.0.0.0", 0)
    port = server.sockets[0].getsockname()[1]
    urls = [f"http://127.0.1.{number % 250 + 1}:{port}/" for number in range(LIMITS[Kind.ALL])]
    async with a_client(seconds=20) as client, asyncio.timeout(60):
        for _ in range(3):
            await asyncio.gather(*(client.post(url, {}, b"{}") for url in urls))
    server.close()

    assert made == len(urls)


async def test_idle_connections_to_many_receivers_are_bounded():
    open_ones = set()

    async def serve(reader, writer):
        open_ones.add(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(2)
                await keep(None, writer)
        open_ones.discard(writer)
        writer.close()

    server = await asyncio.start_server(serve, "0.0.0.0", 0)
    port = server.sockets[0].getsockname()[1]
    urls = [f"http://127.0.{number // 250}.{number % 250 + 1}:{port}/" for number in range(500)]
    async with a_client(seconds=20) as client, asyncio.timeout(60):
        for begin in range(0, 500, 100):
            outcomes = await asyncio.gather(
                *(client.post(url, {}, b"{}") for url in urls[begin : begin + 100])
            )
            assert {outcome.status for outcome in outcomes} == {200}
        while len(open_ones) > MOST_IDLE:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert len(open_ones) == MOST_IDLE
    server.close()


async def test_an_idle_connection_is_closed_at_its_age():
    closed = asyncio.Event()

    async def watch(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(2)
        await keep(None, writer)
        await reader.read()
        closed.set()
        writer.close()

    server = await asyncio.start_server(watch, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with a_client(seconds=0.2, most_age=0.5) as client, asyncio.timeout(10):
        await client.post(f"http://127.0.0.1:{port}/", {}, b"{}")
        await closed.wait()
    server.close()


async def test_a_reset_is_told_from_a_connection_that_was_closed():
    async def reset(_, writer):
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()

    async with a_receiver(reset) as (port, _), a_client() as client:
        outcome = await client.post(f"http://127.0.0.1:{port}/", {}, b"{}")
    assert outcome.error == "reset the connection"


async def test_a_port_where_nobody_listens_refuses_the_connection():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        async with a_client() as client:
            outcome = await client.post(f"http://127.0.0.1:{taken.getsockname()[1]}/", {}, b"{}")
    assert outcome.error == "refused the connection"


# TLS

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


class Issued:
    """A certificate, its key, and the means to sign others."""

    def __init__(self, name, by=None, *, ca=False, until=NOW + DAY, since=NOW - 9 * DAY, address="127.0.0.1"):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer = by or self
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(self.name)
            .issuer_name(issuer.name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(since)
            .not_valid_after(until)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(names, critical=False)
            .sign(issuer.key, hashes.SHA256())
        )

    @property
    def pem(self):
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def server(self, folder, *chain):
        """The TLS of a server that sends this certificate and the chain."""
        path = folder / "server.pem"
        key = self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        path.write_bytes(key + self.pem + b"".join(one.pem for one in chain))
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(path)
        return context


ROOT = Issued("a root", ca=True)
BETWEEN = Issued("an intermediate", ROOT, ca=True)


def trusting_root():
    return ssl.create_default_context(cadata=ROOT.pem.decode())


async def outcome_over(tls):
    async with a_receiver(saying(OK), tls) as (port, _), a_client(tls=trusting_root()) as client:
        return await client.post(f"https://127.0.0.1:{port}/", {}, b"{}")


INCOMPLETE = "the certificate's chain is incomplete: send the intermediate certificates too"
BROKEN = {
    "the certificate has expired": lambda: Issued("x", ROOT, until=NOW - DAY),
    "the certificate is not valid yet": lambda: Issued("x", ROOT, since=NOW + DAY / 2),
    "the certificate is self-signed": lambda: Issued("x"),
    "the certificate is for another address": lambda: Issued("x", ROOT, address="127.0.0.9"),
    INCOMPLETE: lambda: Issued("x", BETWEEN),
}


@pytest.mark.parametrize("words", BROKEN)
async def test_a_certificate_that_is_refused_is_named_by_its_fault(words, tmp_path):
    outcome = await outcome_over(BROKEN[words]().server(tmp_path))
    assert (outcome.status, outcome.error) == (None, words)


async def test_a_good_certificate_with_its_chain_is_taken(tmp_path):
    outcome = await outcome_over(Issued("x", BETWEEN).server(tmp_path, BETWEEN))
    assert (outcome.status, outcome.error) == (200, None)


async def test_a_server_whose_tls_is_too_old_is_told_so(tmp_path):
    tls = Issued("x", ROOT).server(tmp_path)
    tls.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
        tls.minimum_version = tls.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_server(("127.0.0.1", 0)) as listening:
        refusing = asyncio.create_task(asyncio.to_thread(refuse_one, listening, tls))
        async with a_client(tls=trusting_root()) as client:
            outcome = await client.post(f"https://127.0.0.1:{listening.getsockname()[1]}/", {}, b"{}")
        await refusing
    assert outcome.error == "the server's TLS is too old: 1.2 is needed"


def refuse_one(listening, tls):
    """Fails one handshake, with the alert that asyncio's servers leave out."""
    accepted, _ = listening.accept()
    with accepted, pytest.raises(ssl.SSLError):
        tls.wrap_socket(accepted, server_side=True)


async def test_a_port_without_tls_is_told_so():
    async def plain(_, writer):
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with a_client() as client:
        outcome = await client.post(f"https://127.0.0.1:{port}/", {}, b"{}")
    server.close()
    assert outcome.error == "the server does not speak TLS on this port"


class SlowResolver(AbstractResolver):
    """Takes 50 ms to find that a name is this machine."""

    async def resolve(self, host, port=0, family=socket.AF_INET):
        await asyncio.sleep(0.05)
        return [
            {"hostname": host, "host": "127.0.0.1", "port": port, "family": family, "proto": 0, "flags": 0}
        ]

    async def close(self):
        pass


def after(seconds, data):
    async def answer(_, writer):
        await asyncio.sleep(seconds)
        writer.write(data)
        await writer.drain()

    return answer


async def test_an_attempt_tells_what_each_step_took_and_a_used_connection_spares_the_first_ones(monkeypatch):
    monkeypatch.setattr(webhook_client, "refusal", lambda url, allow: None)  # names need https there
    async with a_receiver(after(0.08, OK)) as (port, _), a_client(resolver=SlowResolver()) as client:
        first, second = [await client.post(f"http://localhost:{port}/", {}, b"{}") for _ in range(2)]
    one, two = first.timing, second.timing
    assert (first.status, second.status) == (200, 200)
    assert 50 <= one.dns < 1500
    assert 0 <= one.connect < 1500
    assert one.tls is None
    assert 80 <= one.first_byte < 1500
    assert one.total >= one.dns + one.connect + one.first_byte
    assert (two.dns, two.connect, two.tls) == (None, None, None)
    assert 80 <= two.first_byte <= two.total
    assert (one.total, two.total) == (first.ms, second.ms)


async def test_the_handshake_of_tls_is_told_apart(tmp_path):
    outcome = await outcome_over(Issued("x", ROOT).server(tmp_path))
    assert outcome.status == 200
    assert outcome.timing.dns is None
    assert outcome.timing.tls >= 0
    assert outcome.timing.total >= outcome.timing.connect + outcome.timing.tls


async def test_a_step_that_did_not_end_has_no_time():
    async with a_receiver(after(30, OK)) as (port, _), a_client(seconds=1) as client:
        silent = await client.post(f"http://127.0.0.1:{port}/", {}, b"{}")
        nobody = await client.post("http://127.0.0.1:1/", {}, b"{}")
        refused = await client.post("http://10.0.0.1/", {}, b"{}")
    assert (silent.timing.dns, silent.timing.tls, silent.timing.first_byte) == (None, None, None)
    assert silent.timing.connect >= 0
    assert silent.timing.total >= 1000
    assert (nobody.timing.dns, nobody.timing.connect, nobody.timing.first_byte) == (None, None, None)
    assert refused.timing is None
