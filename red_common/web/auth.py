"""Who is calling, and on whose behalf: API keys, scopes, and an admin's `?client=`."""

from collections.abc import Callable
from typing import Any, Final

from aiohttp import web

from red_common.api_keys import Caller, Keyring
from red_common.events import CLIENT_ID
from red_common.problems import Problem
from red_common.web.handlers import Handler

CALLER: Final = web.RequestKey("caller", Caller)


def authentication(
    keyring: Keyring,
    *,
    is_known: Callable[[], bool],
    is_public: Callable[[str], bool],
    peer_of: Callable[[web.Request], Caller | None] = lambda request: None,
) -> Any:
    """A middleware that sets CALLER, or answers 401 before a 404 and before the body is read.

    Until `is_known()` says the keys have been read, an unknown key gets 503 instead of 401.
    `is_public(path)` says which paths need no key, `peer_of(request)` who calls by other means than a key.
    """

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not is_public(request.path):
            caller = peer_of(request) or keyring.authenticate(request.headers.get("Authorization"))
            if caller is None and not is_known():
                raise Problem("not_ready", "The API keys have not been read yet; try again.", close=True)
            if caller is None:
                detail = "Send a valid API key, as Authorization: Bearer red_..."
                raise Problem("unauthenticated", detail, close=True)
            request[CALLER] = caller
        return await handler(request)

    return middleware


def client_of(request: web.Request, scope: str) -> str:
    """The client the request is about: the caller, or with the scope `admin` that of `?client=`.

    Raises:
        Problem: 403 `scope_missing` or `admin_only`; 400 if `client` is repeated or malformed.
    """
    caller = request[CALLER]
    if not caller.may(scope):
        raise Problem(
            "scope_missing", f"The API key lacks the scope {scope}; use a key that has it.", close=True
        )
    named = request.query.getall("client", [])
    if not named:
        return caller.client_id
    if not caller.may("admin"):
        raise Problem("admin_only", "Only a key with the scope admin may name a client.", close=True)
    if len(named) > 1:
        raise Problem("repeated_parameter", "Give client only once.", close=True)
    if not CLIENT_ID.fullmatch(named[0]):
        raise Problem("invalid_parameter", "client must match [a-z0-9_-]{1,64}.", close=True)
    return named[0]
