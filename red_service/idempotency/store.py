"""Keyed requests in the object store of the images; see `records.py` for what is kept and where."""

from datetime import datetime
from typing import Final

import msgspec
import obstore
from obstore.exceptions import AlreadyExistsError
from obstore.store import ObjectStore

from red_service.idempotency.records import PREFIX, Answer, Intent, State, folder_of
from red_service.image_store import SECONDS, guarded, read

SWEEP_SECONDS: Final = 600.0


class IntentStore:
    """Keyed requests; see `intents.py`. Every method raises StorageError when the store fails."""

    def __init__(self, store: ObjectStore, seconds: float = SECONDS) -> None:
        self._store = store
        self._seconds = seconds

    async def recall(self, client_id: str, key: str) -> State:
        """The newest intent under that key and its answer."""
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
        """Makes the intent of that number; False when another process was first."""
        async with guarded(self._seconds):
            path = f"{folder_of(client_id, key)}/{number:06d}"
            try:
                await obstore.put_async(self._store, path, msgspec.json.encode(intent), mode="create")
            except AlreadyExistsError:
                return False
            return True

    async def conclude(self, client_id: str, key: str, number: int, answer: Answer) -> None:
        """Keeps the answer beside its intent."""
        async with guarded(self._seconds):
            path = f"{folder_of(client_id, key)}/{number:06d}.answer"
            await obstore.put_async(self._store, path, msgspec.json.encode(answer))

    async def sweep(self, before: datetime) -> int:
        """Removes what nobody asks for any more; how many objects that were."""
        async with guarded(SWEEP_SECONDS):
            old = [
                meta["path"]
                async for page in obstore.list(self._store, f"{PREFIX}/")
                for meta in page
                if meta["last_modified"] < before
            ]
            for path in old:
                await obstore.delete_async(self._store, path)
            return len(old)
