"""Liveness, readiness and metrics."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from red_common.problems import Problem
from red_common.web.responses import json_response, metrics_response
from red_service import metrics

VALID_SECONDS: Final = 1.0

Check = Callable[[], Awaitable[str | None]]  # returns what is wrong, or None


class Health:
    """The handlers of `/health/*` and `/metrics`.

    Readiness runs all `checks` at once; each bounds its own time. They reach Kafka and the image store, and
    anybody may ask: what they found is told for VALID_SECONDS. `update_gauges` is called before the metrics
    are read; `now` is in seconds.
    """

    def __init__(
        self,
        checks: dict[str, Check],
        *,
        update_gauges: Callable[[], None],
        metrics_public: bool,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._checks = checks
        self._now = now
        self._checked_at = float("-inf")
        self._checking: asyncio.Task[dict[str, str]] | None = None
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
        if self._checking is None or self._now() - self._checked_at >= VALID_SECONDS:
            self._checking, self._checked_at = asyncio.create_task(self._failures()), self._now()
        failures = await asyncio.shield(self._checking)  # others may wait for it, too
        if failures:
            detail = "; ".join(f"{name}: {failure}" for name, failure in failures.items())
            raise Problem("not_ready", f"{detail}.")
        return json_response({"status": "ready", "checks": dict.fromkeys(self._checks, True)})

    async def _failures(self) -> dict[str, str]:
        names = list(self._checks)
        answers = await asyncio.gather(*(self._checks[name]() for name in names))
        return {name: failure for name, failure in zip(names, answers, strict=True) if failure}

    async def metrics(self, request: web.Request) -> web.Response:
        """Every metric in Prometheus' text format; 403 for other machines, unless RED_METRICS_PUBLIC."""
        self._update_gauges()
        return metrics_response(request, metrics.to_show(os.environ), public=self._metrics_public)
