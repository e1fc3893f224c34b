"""The image store: a local folder, or any object store that obstore supports.

    v1/{client_id}/{sha256[:2]}/{sha256}   the bytes of an image, once per client
    v1/{client_id}/ids/{image_id}          which bytes an image_id stands for (StoredImage as JSON)
    keys/...                               keyed requests of the last day (idempotency/records.py)

A name chosen by a client never becomes part of an object's key; a client_id is [a-z0-9_-]{1,64}.
"""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import msgspec
import obstore
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import LocalStore, ObjectStore, from_url

from red_service.image_usage import ImageUsage

SECONDS: Final = 10.0  # that one operation may take
COUNT_SECONDS: Final = 600.0  # that counting the images of a client may take, or deleting them
PROBE: Final = "v1/.probe"


class StorageError(Exception):
    """Raised when the store fails or does not answer in time; the operation may have taken effect."""


class ImageDamaged(StorageError):
    """Raised when a stored image is missing, or its bytes are no longer those that were sent."""


SyncObject = Callable[[str], Awaitable[None]]  # takes an object's key; returns once it is on disk


class StoredImage(msgspec.Struct, frozen=True):
    """What an image_id stands for: `bytes` is the size, `sha256` and `format` are as in the event."""

    sha256: str
    format: str
    bytes: int


def open_store(url: str | None, data: Path) -> ObjectStore:
    """The store at `url`; without one, the folder `data`/images, which is created.

    Raises:
        StorageError: the URL does not name a store, or the folder cannot be created.
    """
    try:
        if url is None:
            return LocalStore(data / "images", mkdir=True)
        return from_url(url)
    except (BaseError, OSError, ValueError) as error:
        raise StorageError(f"{url or data / 'images'}: {error}") from error


async def sync_file(folder: Path, key: str) -> None:
    """Returns once an object of a local folder, and the folders that name it, are on disk.

    Raises:
        FileNotFoundError: there is no such object.
        OSError: the disk fails.
    """
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
    """The images of all clients.

    Every method raises StorageError if the store fails or takes longer than `seconds`. With `sync`, an
    image counts as stored once `sync` has returned for each of its objects. With a `quota`, the images of one
    client take up at most so many bytes. `erased` says until when (RFC 3339) what is stored of a client goes:
    bytes from before are written anew when they come again, for any process may be about to delete them.
    """

    def __init__(
        self,
        store: ObjectStore,
        seconds: float = SECONDS,
        *,
        sync: SyncObject | None = None,
        quota: int = 0,
        erased: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._store = store
        self._seconds = seconds
        self._sync = sync
        self._usage = ImageUsage(quota, self._bytes_of) if quota else None
        self._writing: dict[str, asyncio.Event] = {}
        self._erased = erased

    async def put(self, client_id: str, image_id: str, image: StoredImage, content: bytes) -> None:
        """Stores the bytes and what the id stands for; equal bytes of one client are stored once.

        A repeated call writes the same objects again.

        Raises:
            QuotaExceeded: the bytes are new, and more than the client may keep.
        """
        async with guarded(self._seconds):
            key = _content_key(client_id, image.sha256)
            async with self._alone(key):
                await self._write(client_id, key, content)
            name = _id_key(client_id, image_id)
            await obstore.put_async(self._store, name, msgspec.json.encode(image))
            if self._sync is not None:
                await asyncio.gather(self._sync(key), self._sync(name))

    async def get(self, client_id: str, image_id: str) -> tuple[StoredImage, bytes] | None:
        """The client's image with that id; None if the client has no such image.

        Raises:
            ImageDamaged: it was stored, but is missing or damaged now.
        """
        async with guarded(self._seconds):
            encoded = await read(self._store, _id_key(client_id, image_id))
            if encoded is None:
                return None
            try:
                image = msgspec.json.decode(encoded, type=StoredImage)
            except msgspec.MsgspecError:
                raise ImageDamaged("The record of this image is damaged in the store") from None
            content = await read(self._store, _content_key(client_id, image.sha256))
            if content is None:
                raise ImageDamaged("The bytes of this image are missing from the store")
            if hashlib.sha256(content).hexdigest() != image.sha256:
                raise ImageDamaged("The bytes of this image are damaged in the store")
            return image, content

    async def probe(self) -> None:
        """Writes one byte; returns if the store can be written to."""
        async with guarded(self._seconds):
            await obstore.put_async(self._store, PROBE, b"1")

    async def erase(self, client_id: str, until: datetime) -> int:
        """Deletes what was stored of a client up to a time; returns how many objects.

        What is stored meanwhile, be it the same bytes, stays.
        """
        try:
            async with guarded(COUNT_SECONDS):
                return sum([await self._erase(key, until) for key in await self._keys_of(client_id, until)])
        finally:
            if self._usage is not None:
                self._usage.forget(client_id)

    async def _keys_of(self, client_id: str, until: datetime) -> list[str]:
        pages = obstore.list(self._store, f"v1/{client_id}/")
        return [meta["path"] async for page in pages for meta in page if meta["last_modified"] <= until]

    async def _erase(self, key: str, until: datetime) -> bool:
        async with self._alone(key):
            found = await self._found(key)
            if found is None or found["last_modified"] > until:
                return False
            with suppress(NotFoundError, FileNotFoundError):  # another process was first
                await obstore.delete_async(self._store, key)
                return True
        return False

    async def recount(self) -> None:
        """Counts anew what is kept for each client that a quota was asked for."""
        if self._usage is not None:
            await self._usage.recount()

    async def _write(self, client_id: str, key: str, content: bytes) -> None:
        """Stores the bytes unless they are there, and not about to be deleted."""
        found = await self._found(key)
        if found is not None and found["size"] == len(content):  # writers of a key write the same bytes
            if not self._is_erased(client_id, found["last_modified"]):
                return
            await obstore.put_async(self._store, key, content, use_multipart=False)
            return
        if self._usage is not None:
            await self._usage.take(client_id, len(content))
        try:
            await obstore.put_async(self._store, key, content, use_multipart=False)
        except BaseException:
            if self._usage is not None:
                self._usage.give_back(client_id, len(content))
            raise

    @asynccontextmanager
    async def _alone(self, key: str) -> AsyncIterator[None]:
        """Lets equal bytes that come together wait for each other, since a quota counts them once."""
        while (other := self._writing.get(key)) is not None:
            await other.wait()
        done = self._writing[key] = asyncio.Event()
        try:
            yield
        finally:
            del self._writing[key]
            done.set()

    async def _bytes_of(self, client_id: str) -> int:
        """What the images of a client take up, each content once."""
        async with guarded(COUNT_SECONDS):
            ids = _id_key(client_id, "")
            return sum(
                [
                    int(meta["size"])
                    async for page in obstore.list(self._store, f"v1/{client_id}/")
                    for meta in page
                    if not meta["path"].startswith(ids)
                ]
            )

    def _is_erased(self, client_id: str, stored_at: datetime) -> bool:
        until = self._erased.get(client_id)
        return until is not None and stored_at <= datetime.fromisoformat(until)

    async def _found(self, key: str) -> Any:
        """Size and time of an object; None if there is no such object."""
        try:
            return await obstore.head_async(self._store, key)
        except (NotFoundError, FileNotFoundError):
            return None


async def read(store: ObjectStore, key: str) -> bytes | None:
    """The bytes of an object; None if there is no such object."""
    try:
        found = await obstore.get_async(store, key)
        return bytes(await found.bytes_async())
    except (NotFoundError, FileNotFoundError):
        return None


@asynccontextmanager
async def guarded(seconds: float) -> AsyncIterator[None]:
    """Turns whatever the store raises in the block, or more than `seconds` of waiting, into StorageError."""
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
