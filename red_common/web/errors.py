"""Every error leaves either service as a problem object, never as a traceback."""

import logging
from collections.abc import Callable
from typing import Any, Final

from aiohttp import web

from red_common.problems import Problem
from red_common.web.handlers import Handler
from red_common.web.responses import problem_response

log = logging.getLogger(__name__)

_BY_STATUS: Final = {
    404: ("not_found", "There is nothing at this address."),
    413: ("body_too_large", "The request body is too large."),
}


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
            return problem_response(problem)
        except web.HTTPMethodNotAllowed as error:
            allowed = ", ".join(sorted(error.allowed_methods))
            refused = Problem("method_not_allowed", f"Allowed methods: {allowed}.", close=True)
            return problem_response(refused, {"Allow": allowed})
        except web.HTTPException as error:
            code, detail = _BY_STATUS.get(
                error.status, ("bad_request", error.reason or "The request cannot be read.")
            )
            return problem_response(Problem(code, detail, close=True))
        except Exception as error:
            known = translate(error)
            if known is None:
                log.exception("%s %s failed", request.method, request.path)
                known = Problem("internal_error", "Something went wrong; see the service's log.")
            else:
                log.warning("%s: %s: %s", request.path, known.code, error)
            return problem_response(known)

    return middleware
