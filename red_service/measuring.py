"""One image on its way: measured, stored under its client, published; only then is it answered."""

import hashlib
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from red_service import metrics
from red_service.decoding import DecoderPool
from red_service.events import ImageMeasured, rfc3339
from red_service.images import Measured
from red_service.problems import NotStored, Problem
from red_service.publishing import Position, Publisher
from red_service.storage import ImageStore, StorageError, StoredImage
from red_service.uploads import Upload

log = logging.getLogger(__name__)


class Measuring:
    """Turns uploads into items of an answer; `now` is the clock, `new_id` makes image ids."""

    def __init__(
        self,
        pool: DecoderPool,
        store: ImageStore,
        publisher: Publisher,
        *,
        now: Callable[[], float],
        new_id: Callable[[], str],
    ) -> None:
        self._pool = pool
        self._store = store
        self._publisher = publisher
        self._now = now
        self._new_id = new_id

    async def measure(self, client_id: str, upload: Upload) -> dict[str, Any]:
        """The item of one image.

        Raises:
            Rejected: it cannot be measured.
            NotStored, UnknownOutcome: it was measured, but no event is known to exist.
        """
        try:
            with metrics.DECODE_SECONDS.time():
                measured = await self._pool.measure(upload.content)
            item = await self._keep(client_id, upload, measured)
        except Problem as problem:
            metrics.IMAGES.labels(problem.code).inc()
            raise
        metrics.IMAGES.labels("measured").inc()
        return item

    async def _keep(self, client_id: str, upload: Upload, measured: Measured) -> dict[str, Any]:
        event = ImageMeasured(
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
            bytes=len(upload.content),
            sha256=hashlib.sha256(upload.content).hexdigest(),
            rule=measured.rule,
            decoder=measured.decoder,
        )
        image = StoredImage(sha256=event.sha256, format=event.format, bytes=event.bytes)
        try:
            await self._store.put(client_id, event.image_id, image, upload.content)
        except StorageError as error:
            log.warning("an image could not be stored: %s", error)
            raise NotStored("The image could not be stored.") from None
        with metrics.PUBLISH_SECONDS.time():
            position = await self._publisher.publish(event)
        return _item(upload, event, position)


def _item(upload: Upload, event: ImageMeasured, position: Position) -> dict[str, Any]:
    return {
        "name": upload.name,
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
        "position": str(position),
    }
