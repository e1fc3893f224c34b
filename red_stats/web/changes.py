"""What stops when its asker leaves, and what does not."""

import asyncio
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

READS: Final = ("/v1/sql", "/clickhouse", "/clickhouse/", "/v1/subscriptions/preview")  # also with POST


def changes_go_on() -> Middleware:
    """A middleware: a read ends with its asker (the server cancels it), a change is carried through."""
    under_way: set[asyncio.Future[web.StreamResponse]] = set()

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.method in ("GET", "HEAD") or request.path in READS:
            return await handler(request)
        change = asyncio.ensure_future(handler(request))
        under_way.add(change)
        change.add_done_callback(under_way.discard)
        return await asyncio.shield(change)

    return middleware
