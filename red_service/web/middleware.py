"""The headers of every response of RED, and which pages may call it from a browser (CORS)."""

from typing import Any, Final

from aiohttp import web

from red_common.web.handlers import Handler

ALLOWED: Final = {
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Idempotency-Key, traceparent",
    "Access-Control-Max-Age": "600",
}


def origins(allowed: frozenset[str]) -> Any:
    """A middleware that lets pages of the `allowed` origins, and no others, call RED from a browser.

    It answers preflight requests itself, before authentication.
    """

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        origin = request.headers.get("Origin", "")
        preflight = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
        response = web.Response(status=204) if preflight else await handler(request)
        if origin in allowed:
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = "Retry-After, RateLimit, RateLimit-Policy"
            response.headers["Vary"] = "Origin"
            if preflight:
                response.headers.update(ALLOWED)
        return response

    return middleware
