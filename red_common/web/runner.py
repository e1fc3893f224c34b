"""aiohttp's server, made to answer whoever can be answered, and by a problem where it has its own words."""

from collections.abc import Coroutine
from typing import Any

from aiohttp import web

from red_common.problems import Problem
from red_common.web.errors import problem_of
from red_common.web.responses import problem_response


class Runner(web.AppRunner):
    """Runs an application; takes what AppRunner takes."""

    __slots__ = ()

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _Server(made.request_handler, request_factory=made.request_factory, **made._kwargs)


class _Server(web.Server):
    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


class _Connection(web.RequestHandler):
    __slots__ = ()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Keeps the connection open for one more answer if the client has sent a whole request.

        A client may end its side of the connection behind its last request. What is cut is not answered.
        """
        if self._messages:
            is_whole = self._messages[-1][1].is_eof()
        elif self._current_request is not None:
            is_whole = self._current_request.content.is_eof()
        else:
            is_whole = self._request_in_progress  # its answer is being sent
        if is_whole:
            self.close()  # after this answer
        return is_whole

    def _handle_request(
        self, request: web.BaseRequest, *rest: Any
    ) -> Coroutine[Any, Any, tuple[web.StreamResponse, bool]]:
        self._current_request = request  # from now on, and not only once the task of this coroutine begins
        return super()._handle_request(request, *rest)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Sends the response; one that no middleware has seen, such as that to an Expect, as a problem."""
        if isinstance(resp, web.HTTPException):
            resp = problem_response(problem_of(resp))
        return await super().finish_response(request, resp, start_time)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The response to a request that is not HTTP, or to an error that no middleware has seen."""
        super().handle_error(request, status, exc, message)
        cause = (message or "").partition("\n")[0].strip(" :.")[:200]
        if status == 400:
            problem = Problem("bad_request", f"The request is not HTTP as it should be: {cause}.")
        else:
            problem = Problem("internal_error", "Something went wrong; see the service's log.")
        response = problem_response(problem)
        response.force_close()
        return response
