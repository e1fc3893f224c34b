"""RED over HTTP: `POST /red`, `GET /red/images/{id}`, health, metrics, documents."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

import orjson
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from red_service import metrics
from red_service.clients import Caller
from red_service.events import CLIENT_ID
from red_service.measuring import Measuring
from red_service.problems import Problem
from red_service.storage import ImageStore, StorageError
from red_service.uploads import Upload, read_uploads

SCHEMA: Final = Path(__file__).resolve().parents[1] / "schemas" / "openapi" / "red.json"
IMAGE_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
CALLER: Final = web.RequestKey("caller", Caller)

Check = Callable[[], Awaitable[str | None]]  # what is wrong, or None


class Http:
    """The handlers. `checks` are what readiness asks, each with a short time of its own."""

    def __init__(
        self, measuring: Measuring, store: ImageStore, checks: dict[str, Check], *, metrics_public: bool
    ) -> None:
        self._measuring = measuring
        self._store = store
        self._checks = checks
        self._metrics_public = metrics_public
        self._schema = SCHEMA.read_bytes()

    def routes(self) -> list[web.RouteDef]:
        """Where they are."""
        return [
            web.post("/red", self.measure),
            web.get("/red/images/{image_id}", self.image),
            web.get("/health/live", self.live),
            web.get("/health/ready", self.ready),
            web.get("/metrics", self.metrics),
            web.get("/openapi.json", self.openapi),
            web.get("/docs", self.docs),
        ]

    async def measure(self, request: web.Request) -> web.Response:
        """Images in, amounts of red out; 200 when stored and acknowledged by Kafka."""
        client_id = client_of(request)
        if "Idempotency-Key" in request.headers:
            detail = "This RED does not know Idempotency-Key yet; leave it out."
            raise Problem("idempotency_not_supported", detail, close=True)
        uploads, multipart = await read_uploads(request)
        if not multipart:
            return _json({"index": 0, **await self._measuring.measure(client_id, uploads[0])})
        asked = (self._item(client_id, index, upload) for index, upload in enumerate(uploads))
        items = await asyncio.gather(*asked)
        problems = [item["problem"] for item in items if item["status"] == "rejected"]
        if len(problems) == len(items):
            raise _none_measured(problems, items)
        return _json({"items": items})

    async def _item(self, client_id: str, index: int, upload: Upload) -> dict[str, Any]:
        try:
            return {"index": index, **await self._measuring.measure(client_id, upload)}
        except Problem as problem:
            shown = problem.as_dict()
            return {"index": index, "name": upload.name, "status": "rejected", "problem": shown}

    async def image(self, request: web.Request) -> web.Response:
        """The stored bytes, as a download that no browser will run."""
        client_id, image_id = client_of(request), request.match_info["image_id"]
        try:
            found = await self._store.get(client_id, image_id) if IMAGE_ID.fullmatch(image_id) else None
        except StorageError as error:
            raise Problem("storage_unavailable", f"The image store fails: {error}", retry_after=2) from None
        if found is None:
            raise Problem("not_found", "There is no such image.")
        image, content = found
        return web.Response(
            body=content,
            content_type="application/octet-stream",
            headers={
                "Content-Disposition": f'attachment; filename="{image_id}.{image.format}"',
                "Content-Security-Policy": "default-src 'none'; sandbox",
                "Cache-Control": "private, max-age=31536000, immutable",
                "ETag": f'"{image.sha256}"',
            },
        )

    async def live(self, request: web.Request) -> web.Response:
        """The process answers."""
        return _json({"status": "live"})

    async def ready(self, request: web.Request) -> web.Response:
        """Kafka, storage, decoders and keys can be used."""
        names = list(self._checks)
        answers = await asyncio.gather(*(self._checks[name]() for name in names))
        wrong = {name: words for name, words in zip(names, answers, strict=True) if words}
        if wrong:
            detail = "; ".join(f"{name}: {words}" for name, words in wrong.items())
            raise Problem("not_ready", detail, retry_after=2)
        return _json({"status": "ready", "checks": dict.fromkeys(names, True)})

    async def metrics(self, request: web.Request) -> web.Response:
        """Prometheus text; for this machine only unless RED_METRICS_PUBLIC."""
        loopback = request.remote is not None and ip_address(request.remote).is_loopback
        if not loopback and not self._metrics_public:
            raise Problem("metrics_private", "Metrics are for this machine: set RED_METRICS_PUBLIC=true.")
        text = generate_latest(metrics.REGISTRY)
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def openapi(self, request: web.Request) -> web.Response:
        """The OpenAPI document."""
        return web.Response(body=self._schema, content_type="application/json")

    async def docs(self, request: web.Request) -> web.Response:
        """The same as text."""
        return web.Response(text=_described(orjson.loads(self._schema)), content_type="text/plain")


def client_of(request: web.Request) -> str:
    """The client whose images the request is about.

    Raises:
        Problem: 403 without the scope `measure`, or `?client=` without `admin`; 400.
    """
    caller = request[CALLER]
    if not caller.may("measure"):
        raise Problem("scope_missing", "The API key lacks the scope measure.", close=True)
    for name in request.query:
        if name != "client":
            raise Problem("unknown_parameter", f"There is no parameter {name[:100]!r} here.", close=True)
    named = request.query.getall("client", [])
    if not named:
        return caller.client_id
    if not caller.may("admin"):
        raise Problem("admin_only", "Only a key with the scope admin may name a client.", close=True)
    if len(named) > 1:
        raise Problem("repeated_parameter", "client is given more than once.", close=True)
    if not CLIENT_ID.fullmatch(named[0]):
        raise Problem("invalid_parameter", "client is not [a-z0-9_-]{1,64}.", close=True)
    return named[0]


def _none_measured(problems: list[dict[str, Any]], items: list[dict[str, Any]]) -> Problem:
    """503 if any image might be counted by trying again, else 422."""
    codes = [problem["code"] for problem in problems if problem["status"] == 503]
    if codes:
        code = "unknown_outcome" if "unknown_outcome" in codes else codes[0]
        return Problem(code, "No image was stored for certain; see items.", retry_after=2, items=items)
    return Problem("no_image_measured", "None of the images could be measured; see items.", items=items)


def _json(body: Any) -> web.Response:
    return web.Response(body=orjson.dumps(body), content_type="application/json")


def _described(schema: dict[str, Any]) -> str:
    lines = [f"{schema['info']['title']}: see /openapi.json for everything", ""]
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            lines += [f"{method.upper():7}{path}", f"       {operation['summary']}", ""]
    return "\n".join(lines)
