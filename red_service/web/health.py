"""Liveness, readiness and metrics."""

import asyncio
import os
from collections.abc import Awaitable, Callable

from aiohttp import web

from red_common.problems import Problem
from red_common.web.responses import json_response, metrics_response
from red_service import metrics

Check = Callable[[], Awaitable[str | None]]  # returns what is wrong, or None


class Health:
    """The handlers of `/health/*` and `/metrics`.

    Readiness runs all `checks` at once; each bounds its own time. `update_gauges` is called before the
    metrics are read.
    """

    def __init__(
        self, checks: dict[str, Check], *, update_gauges: Callable[[], None], metrics_public: bool
    ) -> None:
        self._checks = checks
        self._update_gauges = update_gauges
        self._metrics_public = metrics_public

    def routes(self) -> list[web.RouteDef]:
        """Routes of `/health/live`, `/health/ready` and `/metrics`; none of them needs an API key."""
        return [
            web.get("/health/live", self.live),
            web.get("/health/ready", self.ready),
            web.get("/metrics", self.metrics),
        ]

    async def live(self, request: web.Request) -> web.Response:
        """200, always: that the process answers is the check."""
        return json_response({"status": "live"})

    async def ready(self, request: web.Request) -> web.Response:
        """200 if Kafka, the image store and the API keys can be used; else 503 `not_ready`, with why."""
        names = list(self._checks)
        answers = await asyncio.gather(*(self._checks[name]() for name in names))
        failures = {name: failure for name, failure in zip(names, answers, strict=True) if failure}
        if failures:
            detail = "; ".join(f"{name}: {failure}" for name, failure in failures.items())
            raise Problem("not_ready", f"{detail}.")
        return json_response({"status": "ready", "checks": dict.fromkeys(names, True)})

    async def metrics(self, request: web.Request) -> web.Response:
        """Every metric in Prometheus' text format; 403 for other machines, unless RED_METRICS_PUBLIC."""
        self._update_gauges()
        return metrics_response(request, metrics.to_show(os.environ), public=self._metrics_public)
