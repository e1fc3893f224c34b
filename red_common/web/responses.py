"""The responses both services send: JSON, problems, metrics and files of the package."""

import contextlib
import logging
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import orjson
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from red_common.problems import CONTENT_TYPE, Problem
from red_common.web.clients import is_local
from red_common.web.handlers import Handler

log = logging.getLogger(__name__)

RETRY_SECONDS: Final = 2  # Retry-After of a 503 that names no other time
GUARDS: Final = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Server": "RED"}
Sent = TypeVar("Sent", bound=web.StreamResponse)
FILE_TYPES: Final = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".json": "application/json",
}


def guard(response: Sent) -> Sent:
    """Adds what every response says unless it says something else: keep it nowhere, and guess no type.

    The name of the server comes without versions, which would tell what it is vulnerable to.
    """
    for name, value in GUARDS.items():
        response.headers.setdefault(name, value)
    return response


def json_response(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """A response with `body` as JSON; it is whatever orjson can serialize."""
    return web.Response(
        body=orjson.dumps(body), status=status, content_type="application/json", headers=headers
    )


def problem_response(
    problem: Problem, headers: Mapping[str, str] | None = None, *, has_body: bool = True
) -> web.Response:
    """The problem as `application/problem+json` (RFC 9457).

    A 503, and any problem with `retry_after`, carries Retry-After; a 401 carries WWW-Authenticate. The
    connection is closed afterwards if the problem says so and the request has a body.
    """
    given = dict(headers or {})
    if problem.retry_after is not None or problem.status == 503:
        given["Retry-After"] = str(problem.retry_after or RETRY_SECONDS)
    if problem.status == 401:
        given["WWW-Authenticate"] = 'Bearer realm="red"'
    body = orjson.dumps(problem.as_dict())
    response = web.Response(body=body, status=problem.status, content_type=CONTENT_TYPE, headers=given)
    if problem.close and has_body:
        response.force_close()
    return response


@contextlib.asynccontextmanager
async def cut_off_when_failed(request: web.Request) -> AsyncIterator[None]:
    """Breaks the connection when a response that has begun cannot be ended: it must not pass for whole.

    The error is logged and goes no further, since there is no other response to give.
    """
    try:
        yield
    except Exception as error:
        log.warning("a response of %s was cut off: %r", request.path, error)
        if request.transport is not None:
            request.transport.abort()


def metrics_response(request: web.Request, registry: CollectorRegistry, *, public: bool) -> web.Response:
    """Every metric of `registry` in Prometheus' text format.

    Raises:
        Problem: 403, the client is not on this machine and the metrics are not `public`.
    """
    if not public and not is_local(request):
        raise Problem(
            "metrics_private",
            "Metrics are served to this machine only; set RED_METRICS_PUBLIC=true to change that.",
        )
    return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


def file_handler(path: Path, headers: Mapping[str, str]) -> Handler:
    """A handler that serves a file of the package, which is read once, now; its suffix is in FILE_TYPES."""
    body, kind = path.read_bytes(), FILE_TYPES[path.suffix]

    async def get(request: web.Request) -> web.Response:
        return web.Response(body=body, content_type=kind, charset="utf-8", headers=headers)

    return get
