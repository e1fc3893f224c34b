"""Headers that a handler or a middleware adds to the response of a request, whatever it will be."""

from typing import Final

from aiohttp import web

from red_common.web.handlers import Handler

MORE_HEADERS: Final = web.RequestKey("more headers", dict[str, str])


@web.middleware
async def more_headers(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Adds a request's MORE_HEADERS to its response; stands before the middleware that makes problems."""
    response = await handler(request)
    response.headers.update(request.get(MORE_HEADERS, {}))
    return response
