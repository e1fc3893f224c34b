"""Where images are kept: a folder, or any object store that obstore knows.

    v1/{client_id}/{sha256[:2]}/{sha256}   the bytes, once per client
    v1/{client_id}/ids/{image_id}          which bytes an image_id means (JSON)

No name given by a client is ever part of a key; a client_id is [a-z0-9_-]{1,64}.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec
import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError
from obstore.store import LocalStore, ObjectStore, from_url

SECONDS: Final = 10.0  # an answer that takes longer is none
PROBE: Final = "v1/.probe"


class StorageError(Exception):
    """Raised when the store fails or does not answer in time."""


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


class ImageStore:
    """Images of clients. Every method raises StorageError when the store fails."""

    def __init__(self, store: ObjectStore, seconds: float = SECONDS) -> None:
        self._store = store
        self._seconds = seconds

    async def put(self, client_id: str, image_id: str, image: StoredImage, content: bytes) -> None:
        """Keeps the bytes and what the id means; the same bytes of a client are kept once."""
        async with self._guarded():
            try:
                key = _content_key(client_id, image.sha256)
                await obstore.put_async(self._store, key, content, mode="create", use_multipart=False)
            except AlreadyExistsError:
                pass
            await obstore.put_async(self._store, _id_key(client_id, image_id), msgspec.json.encode(image))

    async def get(self, client_id: str, image_id: str) -> tuple[StoredImage, bytes] | None:
        """The image of that client; None when this client has none of that id."""
        async with self._guarded():
            try:
                found = await obstore.get_async(self._store, _id_key(client_id, image_id))
                image = msgspec.json.decode(bytes(await found.bytes_async()), type=StoredImage)
                content = await obstore.get_async(self._store, _content_key(client_id, image.sha256))
                return image, bytes(await content.bytes_async())
            except (NotFoundError, FileNotFoundError):
                return None

    async def probe(self) -> None:
        """Writes a byte, to know that writing works."""
        async with self._guarded():
            await obstore.put_async(self._store, PROBE, b"1")

    @asynccontextmanager
    async def _guarded(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._seconds):
                yield
        except TimeoutError:
            raise StorageError(f"the image store does not answer within {self._seconds:g} s") from None
        except (BaseError, OSError, msgspec.MsgspecError) as error:
            raise StorageError(_first_line(error)) from error


def _content_key(client_id: str, sha256: str) -> str:
    return f"v1/{client_id}/{sha256[:2]}/{sha256}"


def _id_key(client_id: str, image_id: str) -> str:
    return f"v1/{client_id}/ids/{image_id}"


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:300] or type(error).__name__
