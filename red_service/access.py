"""Who is asking, and for whom: keys, the scope `measure`, `?client=` of an admin."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web

from red_service.clients import Caller, Keyring
from red_service.events import CLIENT_ID
from red_service.problems import Problem

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

CALLER: Final = web.RequestKey("caller", Caller)
PUBLIC: Final = ("/health/live", "/health/ready", "/metrics", "/openapi.json", "/docs")
PUBLIC_FOLDER: Final = "/static/"


def access(keyring: Keyring, is_known: Callable[[], bool]) -> Any:
    """401 comes before 404, and before a byte of the body is read."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path not in PUBLIC and not request.path.startswith(PUBLIC_FOLDER):
            caller = keyring.authenticate(request.headers.get("Authorization"))
            if caller is None and not is_known():
                raise Problem("not_ready", "API keys have not been read yet; try again.", close=True)
            if caller is None:
                detail = "A valid API key is needed: Authorization: Bearer red_..."
                raise Problem("unauthenticated", detail, close=True)
            request[CALLER] = caller
        return await handler(request)

    return middleware


def client_of(request: web.Request) -> str:
    """The client whose images the request is about.

    Raises:
        Problem: 403 without the scope `measure`, or `?client=` without `admin`; 400.
    """
    caller = request[CALLER]
    if not caller.may("measure"):
        raise Problem("scope_missing", "The API key lacks the scope measure.", close=True)
    for name in request.query:
        if name != "client":
            raise Problem("unknown_parameter", f"There is no parameter {name[:100]!r} here.", close=True)
    named = request.query.getall("client", [])
    if not named:
        return caller.client_id
    if not caller.may("admin"):
        raise Problem("admin_only", "Only a key with the scope admin may name a client.", close=True)
    if len(named) > 1:
        raise Problem("repeated_parameter", "client is given more than once.", close=True)
    if not CLIENT_ID.fullmatch(named[0]):
        raise Problem("invalid_parameter", "client is not [a-z0-9_-]{1,64}.", close=True)
    return named[0]
