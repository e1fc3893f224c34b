"""The pipeline of one image: measure it, store it under its client, publish its event; only then answer."""

import asyncio
import hashlib
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from red_common import events
from red_common.events import ImageMeasured, rfc3339
from red_common.problems import Problem
from red_service import metrics
from red_service.decoding.image import Measured
from red_service.decoding.pool import DecoderPool
from red_service.image_store import ImageStore, StorageError, StoredImage
from red_service.image_usage import QuotaExceeded
from red_service.problems import NotStored, Rejected
from red_service.publisher import Position, Publisher
from red_service.upload import Upload

log = logging.getLogger(__name__)


class Prepared(msgspec.Struct, frozen=True):
    """An image measured and stored: its event as JSON, and its response item but for the position."""

    image_id: str
    value: bytes
    item: dict[str, Any]


class MeasurementPipeline:
    """Turns uploads into response items; sending an image again makes another image and another event.

    `now` is the clock (Unix seconds), `new_id` makes image ids, and `check_disk` raises while there is no
    room. At most `together` images of one request are decoded at a time.
    """

    def __init__(
        self,
        pool: DecoderPool,
        store: ImageStore,
        publisher: Publisher,
        *,
        now: Callable[[], float],
        new_id: Callable[[], str],
        check_disk: Callable[[], None],
        together: int,
    ) -> None:
        self._pool = pool
        self._store = store
        self._publisher = publisher
        self._now = now
        self._new_id = new_id
        self._check_disk = check_disk
        self._together = together

    def check_room(self, client_id: str, size: int) -> None:
        """Refuses a request of `size` bytes, 0 if unknown, whose first image would wait too long.

        Raises:
            Problem: 503 `overloaded`.
        """
        try:
            self._pool.check_room(client_id, size)
        except Problem as problem:
            metrics.IMAGES.labels("", problem.code).inc()
            raise

    def check_disk(self) -> None:
        """Refuses a request of new images that cannot be stored.

        Raises:
            Problem: 503 `storage_full`.
        """
        try:
            self._check_disk()
        except Problem as problem:
            metrics.IMAGES.labels("", problem.code).inc()
            raise

    async def measure(
        self, client_id: str, upload: Upload, trace: str, *, patient: bool = False
    ) -> dict[str, Any]:
        """Measures, stores and publishes one image; returns its response item.

        A `patient` one waits for a decoder as long as it takes.

        Raises:
            Rejected: it cannot be measured.
            Problem: 503 `overloaded`, `decoder_lost` or `storage_full`, it was not measured; 403
                `image_quota_exceeded`.
            NotStored: it certainly has no event; sending it again is safe.
            UnknownOutcome: it may have an event; sending it again may count it twice.
        """
        prepared = await self._prepare(client_id, upload, patient)
        try:
            with metrics.PUBLISH_SECONDS.time():
                position = await self._publisher.publish(client_id, prepared.value, trace)
        except Problem as problem:
            metrics.IMAGES.labels(prepared.item["format"], problem.code).inc()
            raise
        return published(prepared.item, position)

    async def measure_all(
        self, client_id: str, uploads: Sequence[Upload], trace: str
    ) -> list[dict[str, Any] | Problem]:
        """The response item of each image, or its problem, in their order."""
        patient = len(uploads) > 1  # or half of a request would be refused after the other half was counted
        return await self._each(
            uploads, lambda upload: self.measure(client_id, upload, trace, patient=patient)
        )

    async def prepare_all(self, client_id: str, uploads: Sequence[Upload]) -> list[Prepared | Rejected]:
        """Each image measured and stored, or why it cannot be measured, in their order; publishes nothing.

        Raises:
            Problem: 503 or 403, one of them found no decoder or could not be stored.
        """
        patient = len(uploads) > 1  # or a request would be refused after most of it was measured
        found = await self._each(uploads, lambda upload: self._prepare(client_id, upload, patient))
        for one in found:
            if isinstance(one, Problem) and not isinstance(one, Rejected):
                raise one
        return found

    async def _prepare(self, client_id: str, upload: Upload, patient: bool) -> Prepared:
        """Measures and stores one image under a new id; publishes nothing. Raises as `measure` does."""
        form = ""
        try:
            self._check_disk()
            with metrics.DECODE_SECONDS.time():
                measured = await self._pool.measure(upload.content, client_id, patient=patient)
            form = measured.format
            event = self._event(client_id, upload.content, measured)
            await self._store_image(event, upload.content)
        except Problem as problem:
            metrics.IMAGES.labels(form, problem.code).inc()
            raise
        metrics.REDNESS.observe(event.red)
        return Prepared(event.image_id, events.encode(event), _item(upload.name, event))

    async def _each(self, uploads: Sequence[Upload], work: Callable[[Upload], Any]) -> list[Any]:
        slots = asyncio.Semaphore(self._together)

        async def one(upload: Upload) -> Any:
            async with slots:
                try:
                    return await work(upload)
                except Problem as problem:
                    return problem

        return list(await asyncio.gather(*map(one, uploads)))

    def _event(self, client_id: str, content: bytes, measured: Measured) -> ImageMeasured:
        return ImageMeasured(
            image_id=self._new_id(),
            client_id=client_id,
            measured_at=datetime.fromtimestamp(int(self._now() * 1000) / 1000, UTC),
            red=measured.red_bp / 10000,
            red_pixels=measured.red_pixels,
            pixels=measured.pixels,
            red_excess=measured.red_excess_bp / 10000,
            red_channel=measured.red_channel_bp / 10000,
            width=measured.width,
            height=measured.height,
            format=measured.format,
            bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            rule=measured.rule,
            decoder=measured.decoder,
        )

    async def _store_image(self, event: ImageMeasured, content: bytes) -> None:
        image = StoredImage(sha256=event.sha256, format=event.format, bytes=event.bytes)
        try:
            await self._store.put(event.client_id, event.image_id, image, content)
        except QuotaExceeded as exceeded:
            used = f"The images of this client take up {exceeded.used} of {exceeded.quota} bytes"
            detail = f"{used}, and this one has {event.bytes}; ask the operator for room."
            raise Problem("image_quota_exceeded", detail) from None
        except StorageError as error:
            log.warning("could not store an image: %s", error)
            raise NotStored("The image could not be stored; try again.") from None


def published(item: dict[str, Any], position: Position) -> dict[str, Any]:
    """The item with the position of its acknowledged event; counts the image as measured."""
    metrics.IMAGES.labels(item["format"], "measured").inc()
    return item | {"position": str(position)}


def _item(name: str | None, event: ImageMeasured) -> dict[str, Any]:
    return {
        "name": name,
        "status": "measured",
        "image_id": event.image_id,
        "client_id": event.client_id,
        "measured_at": rfc3339(event.measured_at),
        "format": event.format,
        "width": event.width,
        "height": event.height,
        "sha256": event.sha256,
        "red": event.red,
        "red_pixels": event.red_pixels,
        "pixels": event.pixels,
        "red_excess": event.red_excess,
        "red_channel": event.red_channel,
        "rule": event.rule,
    }
