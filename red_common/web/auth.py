"""Who is calling, and on whose behalf: API keys, scopes, and an admin's `?client=`."""

from collections.abc import Callable
from typing import Any, Final

from aiohttp import web

from red_common.api_keys import Caller, Keyring, Refused
from red_common.audit import Act, Name
from red_common.events import CLIENT_ID
from red_common.problems import Problem
from red_common.web.clients import client_address
from red_common.web.handlers import Handler

CALLER: Final = web.RequestKey("caller", Caller)
ACT: Final = web.RequestKey("act", Act)  # what an admin's request is, for `red.audit`
REFUSALS: Final = ("scope_missing", "admin_only")


def authentication(
    keyring: Keyring,
    *,
    is_known: Callable[[], bool],
    is_public: Callable[[str], bool],
    note: Callable[[Act], None],
    peer_of: Callable[[web.Request], Caller | None] = lambda request: None,
    bearer_of: Callable[[web.Request], str | None] = lambda request: request.headers.get("Authorization"),
) -> Any:
    """A middleware that sets CALLER, or answers 401 before a 404 and before the body is read.

    Until `is_known()` says the keys have been read, an unknown key gets 503 instead of 401.
    `is_public(path)` says which paths need no key, `peer_of(request)` who calls by other means than a key,
    `bearer_of(request)` what stands for the header `Authorization: Bearer red_...`.
    `note(act)` is called for each key that is refused and for each ACT of an admin.
    """

    def caller_of(request: web.Request) -> Caller:
        caller = peer_of(request) or keyring.authenticate(bearer_of(request))
        if isinstance(caller, Caller):
            return caller
        if not is_known():
            raise Problem("not_ready", "The API keys have not been read yet; try again.", close=True)
        if caller.reason != "missing":
            note(_refusal(request, caller))
        raise Problem("unauthenticated", "Send a valid API key, as Authorization: Bearer red_...", close=True)

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if is_public(request.path):
            return await handler(request)
        request[CALLER] = caller_of(request)
        try:
            return await handler(request)
        except Problem as problem:
            if problem.code in REFUSALS:
                note(act_of(request, "key_refused", reason=problem.code))
            raise
        finally:
            if ACT in request:
                note(request[ACT])

    return middleware


def act_of(request: web.Request, act: Name, **fields: str | None) -> Act:
    """An act of the caller of a request; the target is the address, as a pattern, unless `fields` say so."""
    caller, resource = request[CALLER], request.match_info.route.resource
    who = f"key:{caller.key_id}" if caller.key_id else _address(request)
    target = None if resource is None else resource.canonical
    return Act(who, act, **{"target": target, "client_id": caller.client_id} | fields)


def _refusal(request: web.Request, refused: Refused) -> Act:
    return Act(_address(request), "key_refused", refused.key_id, refused.client_id, refused.reason)


def _address(request: web.Request) -> str:
    return f"address:{client_address(request) or 'unknown'}"


def client_of(request: web.Request, scope: str, *, reads: bool = False) -> str:
    """The client the request is about: the caller, or with the scope `admin` that of `?client=`.

    `reads` says of a POST that it changes nothing.

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
    if named[0] != caller.client_id:
        act: Name = "read_as" if reads or request.method in ("GET", "HEAD") else "changed_as"
        request[ACT] = act_of(request, act, client_id=named[0])
    return named[0]
