"""Who asks, and for whom: keys, scopes, `?client=` of an admin."""

from collections.abc import Callable

from aiohttp import web

from red_service.clients import Caller, Keyring
from red_service.events import CLIENT_ID
from red_stats.domain.problems import Refused
from red_stats.web.problems import Handler

PUBLIC = ("/health/", "/metrics", "/openapi.json", "/docs", "/static/")
CALLER = "caller"


def is_public(path: str) -> bool:
    """Whether an address needs no key."""
    return path == "/" or path.startswith(PUBLIC)


def access(keyring: Keyring, is_known: Callable[[], bool]) -> Callable[..., object]:
    """A middleware: 401 comes before 404. `is_known` says whether the keys have been read."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not is_public(request.path):
            caller = keyring.authenticate(request.headers.get("Authorization"))
            if caller is None:
                if not is_known():
                    raise Refused(503, "not_ready", "API keys have not been read yet; try again")
                raise Refused(
                    401, "unauthenticated", "a valid API key is needed: Authorization: Bearer red_..."
                )
            request[CALLER] = caller
        return await handler(request)

    return middleware


def client_of(request: web.Request, scope: str) -> str:
    """The client whose data the request is about.

    Raises:
        Refused: 403 `scope_missing` or `admin_only`, 400 for an unusable `client`.
    """
    caller: Caller = request[CALLER]
    if not caller.may(scope):
        raise Refused(403, "scope_missing", f"the API key lacks the scope {scope}")
    named = request.query.getall("client", [])
    if not named:
        return caller.client_id
    if not caller.may("admin"):
        raise Refused(403, "admin_only", "only a key with the scope admin may name a client")
    if len(named) > 1:
        raise Refused(400, "repeated_parameter", "client is given more than once")
    if not CLIENT_ID.fullmatch(named[0]):
        raise Refused(400, "invalid_parameter", "client is not [a-z0-9_-]{1,64}")
    return named[0]
