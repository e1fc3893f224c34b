"""What every request passes: problems out, and the headers that every answer has."""

import logging
from typing import Any, Final

import orjson
from aiohttp import web

from red_service.access import Handler
from red_service.problems import CONTENT_TYPE, Problem

log = logging.getLogger(__name__)

MORE_HEADERS: Final = web.RequestKey("more headers", dict[str, str])
ALLOWED: Final = {
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Idempotency-Key, traceparent",
    "Access-Control-Max-Age": "600",
}


def problem_response(problem: Problem) -> web.Response:
    """RFC 9457; 503, 429 and 409 say when to try again, 401 how to ask."""
    headers: dict[str, str] = {}
    if problem.retry_after is not None or problem.status == 503:
        headers["Retry-After"] = str(problem.retry_after or 2)
    if problem.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="red"'
    body: Any = orjson.dumps(problem.as_dict())
    response = web.Response(body=body, status=problem.status, content_type=CONTENT_TYPE, headers=headers)
    if problem.close:
        response.force_close()
    return response


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whatever goes wrong leaves as a problem object, never as a traceback."""
    try:
        return await handler(request)
    except Problem as problem:
        return problem_response(problem)
    except web.HTTPMethodNotAllowed as error:
        allowed = ", ".join(sorted(error.allowed_methods))
        response = problem_response(
            Problem("method_not_allowed", f"This address knows {allowed}.", close=True)
        )
        response.headers["Allow"] = allowed
        return response
    except web.HTTPNotFound:
        return problem_response(Problem("not_found", "There is no such address.", close=True))
    except web.HTTPException as error:
        return problem_response(
            Problem("bad_request", error.reason or "The request is unusable.", close=True)
        )
    except Exception:
        log.exception("%s %s failed", request.method, request.path)
        return problem_response(Problem("internal_error", "Something went wrong; the log says more."))


def origins(allowed: frozenset[str]) -> Any:
    """RED_STATS' page, and nobody else's, may call RED from a browser."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        origin = request.headers.get("Origin", "")
        preflight = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
        response = web.Response(status=204) if preflight else await handler(request)
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers.update(request.get(MORE_HEADERS, {}))
        if origin in allowed:
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = "Retry-After, RateLimit, RateLimit-Policy"
            response.headers["Vary"] = "Origin"
            if preflight:
                response.headers.update(ALLOWED)
        return response

    return middleware
