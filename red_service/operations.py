"""What is not about images: health, metrics, and the documents of the interface."""

import asyncio
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import orjson
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from red_service import metrics
from red_service.problems import Problem

SCHEMA: Final = Path(__file__).resolve().parents[1] / "schemas" / "openapi"

Check = Callable[[], Awaitable[str | None]]  # what is wrong, or None


class Operations:
    """The handlers. `checks` are what readiness asks, each with a short time of its own."""

    def __init__(self, checks: dict[str, Check], *, gauge: Callable[[], None], metrics_public: bool) -> None:
        self._checks = checks
        self._gauge = gauge
        self._metrics_public = metrics_public

    def routes(self) -> list[web.RouteDef]:
        """Where they are."""
        return [
            web.get("/health/live", self.live),
            web.get("/health/ready", self.ready),
            web.get("/metrics", self.metrics),
        ]

    async def live(self, request: web.Request) -> web.Response:
        """The process answers."""
        return json_response({"status": "live"})

    async def ready(self, request: web.Request) -> web.Response:
        """Kafka, storage, decoders and keys can be used."""
        names = list(self._checks)
        answers = await asyncio.gather(*(self._checks[name]() for name in names))
        wrong = {name: words for name, words in zip(names, answers, strict=True) if words}
        if wrong:
            detail = "; ".join(f"{name}: {words}" for name, words in wrong.items())
            raise Problem("not_ready", detail, retry_after=2)
        return json_response({"status": "ready", "checks": dict.fromkeys(names, True)})

    async def metrics(self, request: web.Request) -> web.Response:
        """Prometheus text; for this machine only unless RED_METRICS_PUBLIC."""
        loopback = request.remote is not None and ip_address(request.remote).is_loopback
        if not loopback and not self._metrics_public:
            raise Problem("metrics_private", "Metrics are for this machine: set RED_METRICS_PUBLIC=true.")
        self._gauge()
        text = generate_latest(metrics.REGISTRY)
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_LATEST})


def json_response(body: object) -> web.Response:
    """JSON out."""
    return web.Response(body=orjson.dumps(body), content_type="application/json")
