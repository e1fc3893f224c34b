"""RED over HTTP: `POST /red` and `GET /red/images/{image_id}`."""

import asyncio
import math
from collections.abc import Sequence
from typing import Any, Final

from aiohttp import web

from red_common.problems import Problem
from red_common.rate_limits import RateLimits
from red_common.refusal_pacing import RefusalPacing
from red_common.trace_context import TRACEPARENT, continued
from red_common.uuids import is_canonical
from red_common.web.idempotency_key import HEADER, checked_key
from red_common.web.more_headers import MORE_HEADERS
from red_common.web.responses import json_response
from red_service import metrics
from red_service.idempotency.requests import IdempotentRequests
from red_service.image_store import ImageDamaged, ImageStore, StorageError
from red_service.pipeline import MeasurementPipeline
from red_service.problems import none_measured, rejected_item
from red_service.upload import Upload
from red_service.web.auth import client_of
from red_service.web.body_memory import BodyMemory
from red_service.web.uploads import read_uploads

#: Codes whose refusals are delayed (RefusalPacing).
PACED: Final = ("rate_limited", "overloaded", "storage_full")


class Images:
    """The handlers of the two addresses that clients use: measure images, and get one back."""

    def __init__(
        self,
        pipeline: MeasurementPipeline,
        idempotent: IdempotentRequests,
        store: ImageStore,
        limits: RateLimits,
        pacing: RefusalPacing,
        memory: BodyMemory,
    ) -> None:
        self._pipeline = pipeline
        self._idempotent = idempotent
        self._store = store
        self._limits = limits
        self._pacing = pacing
        self._memory = memory

    def routes(self) -> list[web.RouteDef]:
        """Routes of `POST /red` and `GET /red/images/{image_id}`; both need the scope `measure`."""
        return [web.post("/red", self.measure), web.get("/red/images/{image_id}", self.image)]

    async def measure(self, request: web.Request) -> web.Response:
        """Measures the images of a request: 200 once they are stored and Kafka has acknowledged their events.

        A retry with the same Idempotency-Key gets the first answer and adds nothing; a retry without one
        counts as new images.

        Raises:
            Problem: every problem of `red.json` under `POST /red`.
        """
        client_id = client_of(request)
        key = checked_key(request.headers.getall(HEADER)) if HEADER in request.headers else None
        try:
            self._check_rate(request, client_id)
            if key is None:  # a retry with a key may have its answer already
                self._pipeline.check_disk()
            self._pipeline.check_room(client_id, request.content_length or 0)
            with self._memory.share(client_id) as share:
                uploads, multipart = await read_uploads(request, share)
                # Others may have come while the body was received.
                self._pipeline.check_room(client_id, len(uploads[0].content))
                self._limits.charge(client_id, len(uploads))
                request[MORE_HEADERS] = self._limits.headers(client_id)
                items = await self._items(request, client_id, key, uploads, multipart)
        except Problem as problem:
            if problem.code in PACED:
                await asyncio.sleep(self._pacing.delay_seconds(client_id))
            raise
        return json_response({"items": items} if multipart else items[0])

    async def _items(
        self,
        request: web.Request,
        client_id: str,
        key: str | None,
        uploads: Sequence[Upload],
        multipart: bool,
    ) -> list[dict[str, Any]]:
        trace = continued(request.headers.get(TRACEPARENT))
        if key is not None:
            return await self._idempotent.items(client_id, key, uploads, multipart, trace)
        if not multipart:
            return [{"index": 0, **await self._pipeline.measure(client_id, uploads[0], trace)}]
        found = await self._pipeline.measure_all(client_id, uploads, trace)
        items = [
            rejected_item(one, index, upload.name) if isinstance(one, Problem) else {"index": index, **one}
            for index, (one, upload) in enumerate(zip(found, uploads, strict=True))
        ]
        if all(item["status"] == "rejected" for item in items):
            raise none_measured(items)
        return items

    def _check_rate(self, request: web.Request, client_id: str) -> None:
        request[MORE_HEADERS] = self._limits.headers(client_id)
        wait = self._limits.wait_seconds(client_id)
        if wait:
            metrics.IMAGES.labels("", "rate_limited").inc()
            detail = "This client has reached its rate limit; try again after Retry-After seconds."
            raise Problem("rate_limited", detail, retry_after=math.ceil(wait), close=True)

    async def image(self, request: web.Request) -> web.Response:
        """The stored bytes of an image, as a download that no browser will run.

        Raises:
            Problem: 404, the client has no such image; 503 `image_lost` or `storage_unavailable`.
        """
        client_id, image_id = client_of(request), request.match_info["image_id"]
        try:
            found = await self._store.get(client_id, image_id) if is_canonical(image_id) else None
        except ImageDamaged as error:
            raise Problem("image_lost", f"{error}.") from None
        except StorageError as error:
            raise Problem("storage_unavailable", f"The image store failed: {error}.", retry_after=2) from None
        if found is None:
            raise Problem("not_found", "This client has no image with that id.")
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
