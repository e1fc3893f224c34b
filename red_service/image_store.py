"""Where images are kept: a folder, or any object store that obstore knows.

    v1/{client_id}/{sha256[:2]}/{sha256}   the bytes, once per client
    v1/{client_id}/ids/{image_id}          which bytes an image_id means (JSON)
    keys/...                               keyed requests of the last day (intents.py)

No name given by a client is ever part of a key; a client_id is [a-z0-9_-]{1,64}.
"""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec
import obstore
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import LocalStore, ObjectStore, from_url

SECONDS: Final = 10.0  # an answer that takes longer is none
PROBE: Final = "v1/.probe"


class StorageError(Exception):
    """Raised when the store fails or does not answer in time."""


class ImageDamaged(StorageError):
    """Raised when the store has an image no more, or other bytes than were sent."""


Synced = Callable[[str], Awaitable[None]]  # an object's key


class StoredImage(msgspec.Struct, frozen=True):
    """The object behind an image_id; `bytes` is the size, `format` as in the event."""

    sha256: str
    format: str
    bytes: int


def open_store(url: str | None, data: Path) -> ObjectStore:
    """The store of that URL, or `data`/images.

    Raises:
        StorageError: the URL names no store, or the folder cannot be made.
    """
    try:
        if url is None:
            return LocalStore(data / "images", mkdir=True)
        return from_url(url)
    except (BaseError, OSError, ValueError) as error:
        raise StorageError(f"{url or data / 'images'}: {error}") from error


async def sync_file(folder: Path, key: str) -> None:
    """Returns when an object of a local folder, and its name, are on the disk."""
    path = folder / key

    def sync() -> None:
        for one in (path, path.parent, path.parent.parent):
            descriptor = os.open(one, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    await asyncio.to_thread(sync)


class ImageStore:
    """Images of clients. Every method raises StorageError when the store fails."""

    def __init__(self, store: ObjectStore, seconds: float = SECONDS, *, synced: Synced | None = None) -> None:
        self._store = store
        self._seconds = seconds
        self._synced = synced

    async def put(self, client_id: str, image_id: str, image: StoredImage, content: bytes) -> None:
        """Keeps the bytes and what the id means; the same bytes of a client are kept once."""
        async with guarded(self._seconds):
            key = _content_key(client_id, image.sha256)
            if not await self._has(key, len(content)):
                await obstore.put_async(self._store, key, content, use_multipart=False)
            name = _id_key(client_id, image_id)
            await obstore.put_async(self._store, name, msgspec.json.encode(image))
            if self._synced is not None:
                await asyncio.gather(self._synced(key), self._synced(name))

    async def get(self, client_id: str, image_id: str) -> tuple[StoredImage, bytes] | None:
        """The image of that client; None when this client has none of that id.

        Raises:
            ImageDamaged: it was stored, and is gone or damaged.
        """
        async with guarded(self._seconds):
            told = await read(self._store, _id_key(client_id, image_id))
            if told is None:
                return None
            try:
                image = msgspec.json.decode(told, type=StoredImage)
            except msgspec.MsgspecError:
                raise ImageDamaged("What was stored about this image is damaged") from None
            content = await read(self._store, _content_key(client_id, image.sha256))
            if content is None:
                raise ImageDamaged("The bytes of this image are missing in the store")
            if hashlib.sha256(content).hexdigest() != image.sha256:
                raise ImageDamaged("The bytes of this image are damaged in the store")
            return image, content

    async def probe(self) -> None:
        """Writes a byte, to know that writing works."""
        async with guarded(self._seconds):
            await obstore.put_async(self._store, PROBE, b"1")

    async def _has(self, key: str, size: int) -> bool:
        """Whether the object is there and whole; two that write it at once write the same bytes."""
        try:
            return int((await obstore.head_async(self._store, key))["size"]) == size
        except (NotFoundError, FileNotFoundError):
            return False


async def read(store: ObjectStore, key: str) -> bytes | None:
    """An object's bytes; None when there is none."""
    try:
        found = await obstore.get_async(store, key)
        return bytes(await found.bytes_async())
    except (NotFoundError, FileNotFoundError):
        return None


@asynccontextmanager
async def guarded(seconds: float) -> AsyncIterator[None]:
    """Whatever the store raises is a StorageError, and so is an answer that takes too long."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except StorageError:
        raise
    except TimeoutError:
        raise StorageError(f"the image store does not answer within {seconds:g} s") from None
    except (BaseError, OSError, msgspec.MsgspecError) as error:
        raise StorageError(_first_line(error)) from error


def _content_key(client_id: str, sha256: str) -> str:
    return f"v1/{client_id}/{sha256[:2]}/{sha256}"


def _id_key(client_id: str, image_id: str) -> str:
    return f"v1/{client_id}/ids/{image_id}"


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:300] or type(error).__name__
