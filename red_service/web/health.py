"""Whether the process lives, whether it can be used, and its metrics."""

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

from red_common.problems import Problem
from red_common.web.responses import json_response, metrics_response
from red_service import metrics

Check = Callable[[], Awaitable[str | None]]  # what is wrong, or None


class Health:
    """`checks` are what readiness asks, each with a short time of its own."""

    def __init__(self, checks: dict[str, Check], *, gauge: Callable[[], None], metrics_public: bool) -> None:
        self._checks = checks
        self._gauge = gauge
        self._metrics_public = metrics_public

    def routes(self) -> list[web.RouteDef]:
        """`/health/live`, `/health/ready`, `/metrics`."""
        return [
            web.get("/health/live", self.live),
            web.get("/health/ready", self.ready),
            web.get("/metrics", self.metrics),
        ]

    async def live(self, request: web.Request) -> web.Response:
        """200 while the process answers."""
        return json_response({"status": "live"})

    async def ready(self, request: web.Request) -> web.Response:
        """200 when Kafka, storage, decoders and keys can be used."""
        names = list(self._checks)
        answers = await asyncio.gather(*(self._checks[name]() for name in names))
        wrong = {name: words for name, words in zip(names, answers, strict=True) if words}
        if wrong:
            detail = "; ".join(f"{name}: {words}" for name, words in wrong.items())
            raise Problem("not_ready", detail)
        return json_response({"status": "ready", "checks": dict.fromkeys(names, True)})

    async def metrics(self, request: web.Request) -> web.Response:
        """Prometheus text; for this machine only unless RED_METRICS_PUBLIC."""
        self._gauge()
        return metrics_response(request, metrics.REGISTRY, public=self._metrics_public)
