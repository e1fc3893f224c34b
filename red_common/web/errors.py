"""Every error leaves either service as a problem object, never as a traceback."""

import logging
from collections.abc import Callable
from typing import Any, Final

from aiohttp import web

from red_common.problems import CATALOGUE, Problem
from red_common.web.handlers import Handler
from red_common.web.responses import problem_response

log = logging.getLogger(__name__)

_BY_STATUS: Final = {
    404: ("not_found", "There is nothing at this address."),
    413: ("body_too_large", "The request body is too large."),
}


def problem_of(error: web.HTTPException) -> Problem:
    """The problem for an answer of aiohttp's own, with its status."""
    if error.status in _BY_STATUS:
        return Problem(*_BY_STATUS[error.status], close=True)
    described = (error.status, CATALOGUE["bad_request"][1])
    said = error.text or ""  # by default the status and the reason
    detail = error.reason if said.startswith(f"{error.status}: ") else f"{said[:200].rstrip('.')}."
    return Problem("bad_request", detail, close=True, described=described)


def problems(translate: Callable[[Exception], Problem | None] = lambda error: None) -> Any:
    """A middleware that turns every exception into a problem response.

    `translate` gives the problem for an exception that only its service knows, else None; what nobody
    knows is logged with its traceback and answered with 500 `internal_error`.
    """

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except Problem as problem:
            return problem_response(problem, has_body=request.body_exists)
        except web.HTTPMethodNotAllowed as error:
            allowed = ", ".join(sorted(error.allowed_methods))
            refused = Problem("method_not_allowed", f"Allowed methods: {allowed}.", close=True)
            return problem_response(refused, {"Allow": allowed}, has_body=request.body_exists)
        except web.HTTPException as error:
            refused = problem_of(error)
            return problem_response(refused, has_body=request.body_exists)
        except Exception as error:
            known = translate(error)
            if known is None:
                log.exception("%s %s failed", request.method, request.path)
                known = Problem("internal_error", "Something went wrong; see the service's log.")
            else:
                log.warning("%s: %s: %s", request.path, known.code, error)
            return problem_response(known)

    return middleware
