"""Where a client is: at the other end of the connection, or where a trusted proxy says."""

from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any, Final, NamedTuple

from aiohttp import web
from multidict import CIMultiDictProxy

from red_common.networks import Address, Network, is_in
from red_common.web.handlers import Handler

FORWARDED_FOR: Final = "X-Forwarded-For"
OF_PROXIES: Final = (FORWARDED_FOR, "Forwarded", "X-Real-IP", "X-Forwarded-Host", "X-Forwarded-Proto", "Via")


class Client(NamedTuple):
    """The address of a client, empty if it has none, and whether it is surely on this machine."""

    address: str
    is_local: bool


CLIENT: Final = web.RequestKey("client", Client)


def known_clients(trusted: Sequence[Network]) -> Any:
    """The outermost middleware: finds out who asks, believing what the `trusted` proxies say."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        request[CLIENT] = client_of(request.remote, request.headers, trusted)
        return await handler(request)

    return middleware


def client_address(request: web.Request) -> str:
    """The address of the client that asks; wherever one is told or judged, it is this one."""
    return request[CLIENT].address


def is_local(request: web.Request) -> bool:
    """Whether the client is on this machine, and not merely the proxy in front of it."""
    return request[CLIENT].is_local


def client_of(remote: str | None, headers: CIMultiDictProxy[str], trusted: Sequence[Network]) -> Client:
    """The client behind a connection from `remote`.

    Of `X-Forwarded-For` the last address counts that is not a trusted proxy's own: only what is right of it
    was written by somebody who is believed. Who came through anything else that forwards is taken to be where
    that is, but not to be local.
    """
    peer = _address(remote or "")
    if peer is None:
        return Client(remote or "", is_local=False)
    hops = ",".join(headers.getall(FORWARDED_FOR, ())).split(",") if FORWARDED_FOR in headers else []
    if not is_in(peer, trusted) or not hops:
        is_forwarded = any(name in headers for name in OF_PROXIES)
        return Client(str(peer), peer.is_loopback and not is_forwarded)
    found, is_local = peer, peer.is_loopback
    for hop in reversed(hops):
        address = _address(hop)
        if address is None:
            return Client(str(found), is_local=False)
        found, is_local = address, is_local and address.is_loopback  # that of another machine is not ours
        if not is_in(found, trusted):
            break
    return Client(str(found), is_local)


def _address(text: str) -> Address | None:
    """An address, which proxies may write with a port; None for anything else."""
    text = text.strip()
    if text.startswith("[") and "]" in text:
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
