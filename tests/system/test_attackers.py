"""What an attacker sends to both services, with a key and without one."""

import asyncio

import pytest

from tests.services import bearer


@pytest.fixture(params=["red", "red_stats"])
def attacked(request, service, stats):
    return {"red": service, "red_stats": stats}[request.param]


PATHS = {"red_service": "/red/images/x", "red_stats": "/v1/live"}


def path_of(service):
    return PATHS["red_service" if "red_service" in service.log.name else "red_stats"]


async def answered(service, raw):
    """What comes back for these bytes until the service closes the connection or has nothing more to say."""
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    try:
        writer.write(raw)
        return await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
    finally:
        writer.close()


def a_request(path, *headers, method=b"GET"):
    lines = [method + b" " + path.encode() + b" HTTP/1.1", b"Host: x", *headers]
    return b"\r\n".join([*lines, b"", b""])


@pytest.mark.parametrize(
    "value", [b"Bearer red_\xff_\xfe", b"\xff", b"Bearer \xed\xa0\x80_a_b", b"Bearer red_a", b"Bearer", b""]
)
async def test_a_key_of_any_bytes_is_no_key(api, attacked, value):
    head = await answered(attacked, a_request(path_of(attacked), b"Authorization: " + value))
    assert head.startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize(
    "line",
    [
        b"Authorization Bearer %s",
        b"Authorization: Bearer %s\x00",
        b"Authoriz\x01ation: Bearer %s",
        b"Content-Length: %s",
        b"Transfer-Encoding: %s",
        b"Authorization: Bearer %s\r\nX: " + b"y" * 20_000,
    ],
)
async def test_no_log_shows_the_key_of_a_request_that_is_not_http(api, attacked, line):
    secret = api.key.encode()
    head = await answered(attacked, a_request(path_of(attacked), line % secret, method=b"POST"))
    assert head.split()[1].startswith(b"4")
    assert api.key.split("_", 2)[2] not in attacked.log.read_text()


@pytest.mark.parametrize("first", [b"Bearer %s / HTTP/1.1", b"GET /%s HTTP/1.1", b"GET / HTTP/%s", b"%s"])
async def test_no_log_shows_a_key_in_a_first_line(api, attacked, first):
    secret = api.key.encode()
    await answered(attacked, b"%s\r\nHost: x\r\n\r\n" % (first % secret))
    good = a_request("/health/live")
    await answered(attacked, b"%s%s\r\nHost: x\r\n\r\n" % (good, first % secret))
    assert api.key.split("_", 2)[2] not in attacked.log.read_text()


async def test_only_workers_ask_whether_a_position_is_passed(api, stats):
    for headers in ({}, {"X-Red-Worker": "1/a/b"}, {"X-Red-Asked-By": stats.url}):
        status, problem = await api.call("GET", f"{stats.url}/v1/live/passed", headers=headers)
        assert (status, problem["code"]) == (403, "scope_missing")
    async with api.session.get(f"{stats.url}/v1/live/passed", headers=bearer("x")) as answer:
        assert answer.status == 401


@pytest.mark.parametrize(
    "raw",
    [
        a_request("/health/live"),
        a_request("/openapi.json"),
        a_request("/v1/live"),
        a_request("/nothing"),
        b"no HTTP\r\n\r\n",
        a_request("/", b"Expect: x"),
    ],
)
async def test_every_answer_is_guarded_and_names_no_version(api, attacked, raw):
    head = (await answered(attacked, raw)).decode().lower().splitlines()
    assert "server: red" in head
    assert "x-content-type-options: nosniff" in head
    assert [line for line in head if line.startswith("cache-control: no-")]
    assert not [line for line in head if "aiohttp" in line or "python" in line]


async def test_a_body_that_never_ends_is_given_up(api, stats):
    headers = (b"Authorization: Bearer " + api.key.encode(), b"Content-Length: 100")
    head = await answered(stats, a_request("/v1/subscriptions", *headers, method=b"POST") + b"{")
    assert head.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in head.lower()
