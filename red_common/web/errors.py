"""Every error leaves either service as a problem object, never as a traceback."""

import logging
from collections.abc import Callable, Mapping
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


def problems(
    translate: Callable[[Exception], Problem | None] = lambda error: None,
    other: Callable[[web.Request], Callable[[Problem], web.Response] | None] = lambda request: None,
) -> Any:
    """A middleware that turns every exception into a problem response.

    `translate` gives the problem for an exception that only its service knows, else None; what nobody
    knows is logged with its traceback and answered with 500 `internal_error`. `other` gives how problems are
    told where somebody expects another form.
    """

    def told(
        request: web.Request, problem: Problem, headers: Mapping[str, str] | None = None
    ) -> web.Response:
        tell = other(request)
        if tell is not None:
            return tell(problem)
        return problem_response(problem, headers, has_body=request.body_exists)

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except Problem as problem:
            return told(request, problem)
        except web.HTTPMethodNotAllowed as error:
            allowed = ", ".join(sorted(error.allowed_methods))
            refused = Problem("method_not_allowed", f"Allowed methods: {allowed}.", close=True)
            return told(request, refused, {"Allow": allowed})
        except web.RequestPayloadError as error:
            unreadable = f"The body cannot be read: {str(error)[:200]}."
            return told(request, Problem("bad_request", unreadable, close=True))
        except web.HTTPException as error:
            return told(request, problem_of(error))
        except Exception as error:
            known = translate(error)
            if known is None:
                log.exception("%s %s failed", request.method, request.path)
                known = Problem("internal_error", "Something went wrong; see the service's log.")
            else:
                log.warning("%s: %s: %s", request.path, known.code, error)
            return told(request, known)

    return middleware
