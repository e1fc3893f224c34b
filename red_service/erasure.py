"""Deletes the images and the keyed requests of erased clients, which the topic of API keys tells."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from red_common.audit import Act
from red_service.idempotency.store import IntentStore
from red_service.image_store import ImageStore, StorageError

log = logging.getLogger(__name__)

INTERVAL: Final = 0.5  # seconds between looking for whom to erase
PAUSE: Final = 10.0  # seconds after one failed


class Erasure:
    """Erases each client once in the life of the process, so a crash on the way leaves nothing behind.

    `erased` says when clients were erased (RFC 3339); `note` is told of what was deleted.
    """

    def __init__(
        self, erased: Mapping[str, str], store: ImageStore, intents: IntentStore, note: Callable[[Act], None]
    ) -> None:
        self._erased, self._store, self._intents, self._note = erased, store, intents, note
        self._done: dict[str, str] = {}

    async def run(self) -> None:
        """Erase clients until cancelled."""
        while True:
            is_done = await self.round()
            await asyncio.sleep(INTERVAL if is_done else PAUSE)

    async def round(self) -> bool:
        """Erase the clients that are not erased yet; False: one could not be, and is to be tried again."""
        failed = False
        for client_id, at in list(self._erased.items()):
            if self._done.get(client_id) == at:
                continue
            try:
                await self._erase(client_id, at)
            except StorageError as error:
                log.warning("what is stored of %s could not be deleted yet: %s", client_id, error)
                failed = True
            except Exception:  # others are erased all the same
                log.exception("what is stored of %s could not be deleted", client_id)
                failed = True
            else:
                self._done[client_id] = at
        return not failed

    async def _erase(self, client_id: str, at: str) -> None:
        until = datetime.fromisoformat(at).astimezone(UTC)
        images = await self._store.erase(client_id, until)
        await self._intents.erase(client_id, until + timedelta(milliseconds=1))
        if images:
            self._note(Act("red", "images_erased", f"{images} objects", client_id))
