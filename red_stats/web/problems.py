"""Every error over HTTP as `application/problem+json` with a stable code (RFC 9457)."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from aiohttp import web

from red_stats.adapters.clickhouse import StoreError
from red_stats.domain.problems import Refused, problem

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

TITLES = {
    401: ("unauthenticated", "a valid API key is needed: Authorization: Bearer red_..."),
    404: ("not_found", "there is no such address"),
    413: ("body_too_large", "the request body is too large"),
}


def answer(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """JSON out."""
    return web.Response(
        body=orjson.dumps(body), status=status, content_type="application/json", headers=headers
    )


def problem_response(fields: dict[str, Any], headers: dict[str, str] | None = None) -> web.Response:
    """A problem object as a response; 503 says when to try again."""
    given = dict(headers or {})
    if fields["status"] == 503:
        given.setdefault("Retry-After", "2")
    if fields["status"] == 401:
        given.setdefault("WWW-Authenticate", 'Bearer realm="red"')
    return web.Response(
        body=orjson.dumps(fields),
        status=fields["status"],
        content_type="application/problem+json",
        headers=given,
    )


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whatever goes wrong leaves as a problem object, never as a traceback."""
    try:
        return await handler(request)
    except Refused as refused:
        return problem_response(refused.problem)
    except StoreError as error:
        log.warning("%s: the store cannot answer: %s", request.path, error)
        detail = "the statistics store cannot answer now; try again"
        return problem_response(problem(503, "store_unavailable", detail))
    except web.HTTPMethodNotAllowed as error:
        allowed = ", ".join(sorted(error.allowed_methods))
        fields = problem(405, "method_not_allowed", f"this address knows {allowed}")
        return problem_response(fields, {"Allow": allowed})
    except web.HTTPException as error:
        code, detail = TITLES.get(error.status, ("bad_request", error.reason or "the request cannot be read"))
        return problem_response(problem(error.status, code, detail))
    except Exception:
        log.exception("%s %s failed", request.method, request.path)
        detail = "something went wrong inside RED_STATS; the log says more"
        return problem_response(problem(500, "internal_error", detail))
