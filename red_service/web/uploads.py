"""Reads the images of a request, within every limit, before the first of them is measured.

aiohttp's server limits neither the size nor the duration of a streamed body, so bytes and seconds are
counted here.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp
from aiohttp import BodyPartReader, MultipartReader, web

from red_common.problems import Problem
from red_service.settings import MAX_BODY
from red_service.upload import MAX_IMAGE, Upload
from red_service.web import form_parts
from red_service.web.body_memory import Share

MAX_PARTS: Final = 16
MAX_FIELDS: Final = 100  # plain fields beside the images, which are ignored
OCTETS: Final = ("application/octet-stream", "binary/octet-stream")
MAX_PREAMBLE: Final = 64 << 10
MAX_PART_HEADERS: Final = 16 << 10
CHUNK: Final = 256 << 10
SECONDS: Final = 10.0  # for a body, and one more for each MiB received
PLAIN_ENCODINGS: Final = ("", "identity")
PLAIN_TRANSFERS: Final = ("", "binary", "8bit", "7bit")


class _Body:
    """The request's stream with its bytes counted; MultipartReader uses it like a StreamReader."""

    def __init__(self, stream: Any, share: Share, deadline: asyncio.Timeout, started: float) -> None:
        self._stream, self._share, self._deadline, self._started = stream, share, deadline, started
        self.received = 0
        self.allow(MAX_BODY, body_too_large())

    def allow(self, limit: int, too_much: Problem) -> None:
        """Raises `too_much` once more than `limit` bytes have come since the body began."""
        self._limit, self._too_much = limit, too_much

    async def read(self, size: int = -1) -> bytes:
        return self._counted(await self._stream.read(min(size, CHUNK) if size > 0 else CHUNK))

    async def readline(self, **options: Any) -> bytes:
        return form_parts.header_line(self._counted(await self._stream.readline(**options)))

    def _counted(self, chunk: bytes) -> bytes:
        self.received += len(chunk)
        if self.received > self._limit:
            raise self._too_much
        self._share.claim(len(chunk))
        self._deadline.reschedule(self._started + SECONDS + self.received / (1 << 20))
        return chunk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def body_too_large() -> Problem:
    """The problem of a body over MAX_BODY; refuses the whole request and closes the connection."""
    return Problem(
        "body_too_large",
        f"A request may have at most {MAX_BODY >> 20} MiB; send fewer images at a time.",
        close=True,
    )


def image_too_large() -> Problem:
    """The problem of an image over MAX_IMAGE; refuses the whole request and closes the connection."""
    return Problem("image_too_large", f"An image may have at most {MAX_IMAGE >> 20} MiB.", close=True)


def too_many_images() -> Problem:
    """The problem of a form with more than MAX_PARTS images or MAX_FIELDS fields; closes the connection."""
    detail = f"A request may have at most {MAX_PARTS} images, and {MAX_FIELDS} text fields beside them."
    return Problem("too_many_images", detail, close=True)


def malformed(detail: str) -> Problem:
    """The problem of a multipart body that cannot be read; closes the connection."""
    return Problem("multipart_malformed", detail, close=True)


async def read_uploads(request: web.Request, share: Share) -> tuple[list[Upload], bool]:
    """The images of `POST /red`, and whether they came as multipart: 1 to MAX_PARTS of them.

    Raises:
        Problem: 400, 408, 413, 415 or 503, for the whole request.
    """
    kind = request.content_type
    multipart = kind == "multipart/form-data"
    if not multipart and not kind.startswith("image/") and kind not in OCTETS:
        detail = "Send an image as image/* or application/octet-stream, or several as multipart/form-data."
        raise Problem("unsupported_media_type", detail, close=True)
    if request.headers.get("Content-Encoding", "").strip().lower() not in PLAIN_ENCODINGS:
        raise Problem("content_encoding", "Send the image without a Content-Encoding.", close=True)
    if (request.content_length or 0) > MAX_BODY:
        raise body_too_large()
    if not multipart and (request.content_length or 0) > MAX_IMAGE:
        raise image_too_large()
    async with _body_of(request, share) as body:
        if multipart:
            return await _parts(request, body), True
        return [Upload(None, await _raw(body))], False


@asynccontextmanager
async def _body_of(request: web.Request, share: Share) -> AsyncIterator[_Body]:
    started = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout(SECONDS) as deadline:
            yield _Body(request.content, share, deadline, started)
    except TimeoutError:
        raise Problem(
            "request_timeout", "The body came too slowly, or its end never came.", close=True
        ) from None
    except (aiohttp.ClientError, web.RequestPayloadError) as error:
        raise Problem("bad_request", f"The body cannot be read: {error}.", close=True) from None


async def _raw(body: _Body) -> bytes:
    body.allow(MAX_IMAGE, image_too_large())
    chunks = []
    while chunk := await body.read(CHUNK):
        chunks.append(chunk)
    return b"".join(chunks)


async def _parts(request: web.Request, body: _Body) -> list[Upload]:
    body.allow(MAX_PREAMBLE, malformed("There is no boundary in the first 64 KiB."))
    try:
        reader = MultipartReader(request.headers, body, max_field_size=MAX_PART_HEADERS)  # type: ignore[arg-type]
        uploads: list[Upload] = []
        fields = 0
        while (part := await reader.next()) is not None:
            body.allow(MAX_BODY, body_too_large())
            if not isinstance(part, BodyPartReader):
                raise malformed("A part is itself multipart; send every image as a part of its own.")
            if len(uploads) == MAX_PARTS and not form_parts.may_be_text(part):
                raise too_many_images()
            upload = await _part(part)
            if upload is None:
                fields += 1
            else:
                uploads.append(upload)
            if len(uploads) > MAX_PARTS or fields > MAX_FIELDS:
                raise too_many_images()
    except (ValueError, AssertionError, RuntimeError, LookupError, AttributeError, TypeError) as error:
        raise malformed(
            f"The multipart body cannot be read: {str(error)[:200] or 'it ends early'}."
        ) from None
    except aiohttp.http_exceptions.HttpProcessingError as error:
        raise malformed(f"The headers of a part cannot be read: {error.message[:200]}.") from None
    if not uploads:
        what = "only text fields" if fields else "no parts"
        raise malformed(f"The body has {what}; send at least one image as a file.")
    return uploads


async def _part(part: BodyPartReader) -> Upload | None:
    """The image in a part; None if it is a plain field of the form."""
    headers = part.headers
    if part.name in ("image_url", "url") and not form_parts.is_file(part):
        detail = "RED does not fetch images; send the bytes of the image."
        raise Problem("url_input_not_supported", detail, close=True)
    encoding = headers.get("Content-Encoding", "").strip().lower()
    transfer = headers.get("Content-Transfer-Encoding", "").strip().lower()
    if encoding not in PLAIN_ENCODINGS or transfer not in PLAIN_TRANSFERS:
        raise Problem(
            "content_encoding",
            "Send every part without a Content-Encoding or Content-Transfer-Encoding.",
            close=True,
        )
    chunks, size = [], 0
    while not part.at_eof():
        chunk = await part.read_chunk(CHUNK)
        size += len(chunk)
        if size > MAX_IMAGE:
            raise image_too_large()
        chunks.append(chunk)
    content = b"".join(chunks)
    if form_parts.may_be_text(part) and form_parts.is_text(content):
        return None
    return Upload(form_parts.name_of(part), content)
