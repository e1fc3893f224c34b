"""Who a client is, with and without proxies."""

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from multidict import CIMultiDict, CIMultiDictProxy
from prometheus_client import CollectorRegistry

from red_common.networks import parse_networks
from red_common.web.clients import client_address, client_of, known_clients
from red_common.web.errors import problems
from red_common.web.responses import metrics_response

PROXIES = "127.0.0.1, 10.0.0.0/8, 2001:db8::/32"
CLIENT = "198.51.100.7"


def found(peer, *forwarded_for, trusted=PROXIES, **others):
    headers = CIMultiDict([("X-Forwarded-For", one) for one in forwarded_for])
    headers.update({name.replace("_", "-"): value for name, value in others.items()})
    return tuple(client_of(peer, CIMultiDictProxy(headers), parse_networks(trusted)))


def test_without_a_proxy_a_client_is_its_peer():
    assert found("127.0.0.1") == ("127.0.0.1", True)
    assert found("::1") == ("::1", True)
    assert found("::ffff:127.0.0.1") == ("127.0.0.1", True)
    assert found(CLIENT) == (CLIENT, False)
    assert found(None) == ("", False)


def test_a_peer_that_is_not_trusted_is_not_believed():
    assert found(CLIENT, "127.0.0.1") == (CLIENT, False)
    assert found(CLIENT, "127.0.0.1", trusted="") == (CLIENT, False)


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "X-Forwarded-Proto", "Via"])
def test_who_comes_through_a_proxy_on_this_machine_is_not_local_by_that(header):
    assert found("127.0.0.1", trusted="", **{header: "127.0.0.1"}) == ("127.0.0.1", False)


def test_of_several_hops_the_last_that_is_no_trusted_proxy_counts():
    assert found("127.0.0.1", f"127.0.0.1, {CLIENT}") == (CLIENT, False)
    assert found("127.0.0.1", f"127.0.0.1, {CLIENT}, 10.0.0.5") == (CLIENT, False)
    assert found("127.0.0.1", "127.0.0.1", CLIENT, "10.0.0.5") == (CLIENT, False)
    assert found("127.0.0.1", f"203.0.113.1, {CLIENT}") == (CLIENT, False)
    assert found("2001:db8::1", "2001:4860::8888, 2001:db8::2") == ("2001:4860::8888", False)


def test_where_all_hops_are_trusted_the_first_counts():
    assert found("127.0.0.1", "10.0.0.9, 10.0.0.5") == ("10.0.0.9", False)


def test_a_trusted_proxy_on_this_machine_says_who_is_local():
    assert found("127.0.0.1", "127.0.0.1") == ("127.0.0.1", True)
    assert found("127.0.0.1", "::1") == ("::1", True)


def test_the_loopback_of_another_machine_is_not_local():
    assert found("10.0.0.5", "127.0.0.1") == ("127.0.0.1", False)
    assert found("127.0.0.1", "127.0.0.1, 10.0.0.5") == ("127.0.0.1", False)


@pytest.mark.parametrize(
    ("said", "address"),
    [
        (f"{CLIENT}:4711", CLIENT),
        ("[2001:4860::8888]:4711", "2001:4860::8888"),
        ("[2001:4860::8888]", "2001:4860::8888"),
        (f"::ffff:{CLIENT}", CLIENT),
        (f"  {CLIENT}  ", CLIENT),
    ],
)
def test_addresses_may_have_a_port(said, address):
    assert found("127.0.0.1", said) == (address, False)


@pytest.mark.parametrize(
    "said", ["unknown", "", ",", "127.0.0.1, x", "1.2.3", "[::1", "_secret", "127.1", "\x7f"]
)
def test_what_is_no_address_ends_what_is_believed(said):
    address, is_local = found("127.0.0.1", said)
    assert (address, is_local) in {("127.0.0.1", False), ("::1", True)}
    assert said == "[::1" or not is_local


def test_a_trusted_proxy_that_does_not_say_who_its_client_is_makes_nobody_local():
    assert found("127.0.0.1", Forwarded="for=127.0.0.1") == ("127.0.0.1", False)


@pytest.mark.parametrize(
    ("trusted", "headers", "status"),
    [
        ("", {}, 200),
        ("", {"X-Forwarded-For": CLIENT}, 403),
        ("", {"X-Forwarded-For": "127.0.0.1"}, 403),
        ("", {"Forwarded": f"for={CLIENT}"}, 403),
        ("127.0.0.1", {}, 200),
        ("127.0.0.1", {"X-Forwarded-For": f"127.0.0.1, {CLIENT}"}, 403),
        ("127.0.0.1", {"X-Forwarded-For": "127.0.0.1"}, 200),
    ],
)
async def test_metrics_are_not_public_through_a_proxy_on_this_machine(trusted, headers, status):
    async def metrics(request):
        return metrics_response(request, CollectorRegistry(), public=False)

    app = web.Application(middlewares=[known_clients(parse_networks(trusted)), problems()])
    app.router.add_get("/metrics", metrics)

    async with TestClient(TestServer(app)) as client, client.get("/metrics", headers=headers) as answer:
        assert answer.status == status


async def test_handlers_are_told_the_address_of_the_client():
    async def who(request):
        return web.Response(text=client_address(request))

    app = web.Application(middlewares=[known_clients(parse_networks("127.0.0.0/8"))])
    app.router.add_get("/", who)
    headers = {"X-Forwarded-For": CLIENT}

    async with TestClient(TestServer(app)) as client, client.get("/", headers=headers) as answer:
        assert await answer.text() == CLIENT
