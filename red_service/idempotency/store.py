"""Keyed requests in the object store that also holds the images; `records.py` says what is kept where."""

from contextlib import suppress
from datetime import datetime
from typing import Final

import msgspec
import obstore
from obstore.exceptions import AlreadyExistsError, NotFoundError
from obstore.store import ObjectStore

from red_service.idempotency.records import PREFIX, Answer, Intent, State, folder_of
from red_service.image_store import SECONDS, guarded, read

SWEEP_SECONDS: Final = 600.0  # that one sweep may take


class IntentStore:
    """Intents and answers of keyed requests.

    Every method raises StorageError if the store fails or takes longer than `seconds`.
    """

    def __init__(self, store: ObjectStore, seconds: float = SECONDS) -> None:
        self._store = store
        self._seconds = seconds

    async def recall(self, client_id: str, key: str) -> State:
        """The newest state of a key: its answer if it has one, else its intent."""
        folder = folder_of(client_id, key)
        async with guarded(self._seconds):
            listed = [meta async for page in obstore.list(self._store, f"{folder}/") for meta in page]
            numbers = [int(meta["path"].rpartition("/")[2].partition(".")[0]) for meta in listed]
            if not numbers:
                return State()
            number = max(numbers)
            answer = await read(self._store, f"{folder}/{number:06d}.answer")
            if answer is not None:
                return State(number, None, msgspec.json.decode(answer, type=Answer))
            intent = await read(self._store, f"{folder}/{number:06d}")
            return State(number, None if intent is None else msgspec.json.decode(intent, type=Intent))

    async def create(self, client_id: str, key: str, number: int, intent: Intent) -> bool:
        """Writes the intent with that number; False, and nothing written, if there is one already."""
        async with guarded(self._seconds):
            path = f"{folder_of(client_id, key)}/{number:06d}"
            try:
                await obstore.put_async(self._store, path, msgspec.json.encode(intent), mode="create")
            except AlreadyExistsError:
                return False
            return True

    async def conclude(self, client_id: str, key: str, number: int, answer: Answer) -> None:
        """Writes the answer beside its intent; writing it again replaces it."""
        async with guarded(self._seconds):
            path = f"{folder_of(client_id, key)}/{number:06d}.answer"
            await obstore.put_async(self._store, path, msgspec.json.encode(answer))

    async def sweep(self, before: datetime) -> int:
        """Deletes objects last modified before a time, within SWEEP_SECONDS; returns how many."""
        return await self._delete(f"{PREFIX}/", before)

    async def erase(self, client_id: str, before: datetime) -> int:
        """The same for the objects of a client."""
        return await self._delete(f"{PREFIX}/{client_id}/", before)

    async def _delete(self, folder: str, before: datetime) -> int:
        async with guarded(SWEEP_SECONDS):
            old = [
                meta["path"]
                async for page in obstore.list(self._store, folder)
                for meta in page
                if meta["last_modified"] < before
            ]
            for path in old:
                with suppress(NotFoundError, FileNotFoundError):  # another process was first
                    await obstore.delete_async(self._store, path)
            return len(old)
