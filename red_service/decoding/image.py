"""Measures the red in an encoded image, with every limit checked before a pixel is decoded.

Runs in a worker process (`worker.py`), because hostile images attack decoders. Only JPEG, PNG, GIF and
WebP are opened. The first frame counts; EXIF orientation, ICC profiles and gamma are ignored, so the
same bytes always give the same numbers (docs/red.md, "How an image is read" and "Limits").
"""

import io
import struct
import warnings
import zlib
from typing import Final

import msgspec
import PIL
from PIL import Image, UnidentifiedImageError, WebPImagePlugin, features

from red_service.decoding import fast_jpeg, fast_webp, jpeg, webp
from red_service.problems import Rejected
from red_service.redness import count
from red_service.redness.rule import RULE, Tally

MAX_PIXELS: Final = 40_000_000
MAX_SIDE: Final = 16_384
FORMATS: Final = ("JPEG", "PNG", "GIF", "WEBP")  # "MPO" here would make Pillow raise KeyError
DECODER: Final = f"pillow-{PIL.__version__}/ljt-{features.version('libjpeg_turbo')}"

assert WebPImagePlugin.SUPPORTED  # loaded by its import; Image.preinit() loads the others

PNG_MAGIC: Final = b"\x89PNG\r\n\x1a\n"

_UNREADABLE: Final = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    EOFError,
    OverflowError,
    struct.error,
    zlib.error,
)


class Measured(msgspec.Struct, frozen=True):
    """The amounts of one image: `*_bp` are shares in basis points, 0..10000 (docs/red.md).

    `decoder` names the library that decoded it and its version.
    """

    format: str
    width: int
    height: int
    pixels: int
    red_pixels: int
    red_bp: int
    red_excess_bp: int
    red_channel_bp: int
    decoder: str
    rule: str = RULE


def measure(content: bytes) -> Measured:
    """Measures one encoded image; for any bytes it gives amounts, or raises Rejected.

    Raises:
        Rejected: the bytes are not an image within the limits; the code says why.
    """
    if not content:
        raise Rejected("image_empty", "The image has no bytes.")
    try:
        if (canvas := webp.canvas(content)) is not None:
            _check_size(*canvas)  # Pillow would allocate the canvas just to open it
            counts = fast_webp.count(content, *canvas)
            if counts is not None:
                return _measured("webp", canvas, counts, fast_webp.DECODER)
        with _opened(content) as image:
            _check_size(*image.size)
            format = "jpeg" if image.format == "MPO" else str(image.format).lower()
            if format == "jpeg" and image.mode == "RGB":
                counts = fast_jpeg.count(content, *image.size)
                if counts is not None:
                    return _measured(format, image.size, counts, fast_jpeg.DECODER)
            _decode(image)
            return _measured(format, image.size, count.count(image), DECODER)
    except MemoryError:
        raise Rejected("image_too_expensive", "Decoding takes too much memory.") from None


def _measured(format: str, size: tuple[int, int], counts: Tally, decoder: str) -> Measured:
    return Measured(
        format=format,
        width=size[0],
        height=size[1],
        pixels=counts.pixels,
        red_pixels=counts.red_pixels,
        red_bp=counts.red_bp,
        red_excess_bp=counts.red_excess_bp,
        red_channel_bp=counts.red_channel_bp,
        decoder=decoder,
    )


def _opened(content: bytes) -> Image.Image:
    """The image with its header read and no pixel decoded."""
    if jpeg.is_jpeg(content) and jpeg.scans(content) > jpeg.MAX_SCANS:
        raise Rejected(
            "image_too_complex", f"The JPEG has more than {jpeg.MAX_SCANS} scans; encode it with fewer."
        )
    with warnings.catch_warnings():
        # Up to twice its own limit Pillow only warns; our limit is _check_size.
        warnings.simplefilter("ignore")
        try:
            return Image.open(io.BytesIO(content), formats=FORMATS)
        except UnidentifiedImageError:
            raise _not_an_image(content) from None
        except Image.DecompressionBombError:
            raise _too_many_pixels() from None
        except _UNREADABLE as error:
            raise Rejected("image_corrupt", _sentence(error)) from error


def _not_an_image(content: bytes) -> Rejected:
    """Why Pillow does not open the bytes: a known signature means damage, unless the size is 0 pixels."""
    damaged_png = content.startswith(PNG_MAGIC) and _both(content[16:24], ">II")
    damaged_gif = content[:6] in (b"GIF87a", b"GIF89a") and _both(content[6:10], "<HH")
    if damaged_png or damaged_gif or webp.canvas(content) is not None:
        return Rejected("image_corrupt", "The image cannot be opened: its header is damaged.")
    return Rejected("unsupported_format", "The bytes are not a JPEG, PNG, GIF or WebP image.")


def _both(sides: bytes, layout: str) -> bool:
    """Whether neither width nor height is 0; True if the header ends before them."""
    return len(sides) < struct.calcsize(layout) or all(struct.unpack(layout, sides))


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise _too_many_pixels()
    if max(width, height) > MAX_SIDE:
        raise Rejected(
            "image_dimension", f"The image has {width} x {height} pixels; a side may have at most {MAX_SIDE}."
        )


def _too_many_pixels() -> Rejected:
    return Rejected("image_too_many_pixels", f"An image may have at most {MAX_PIXELS} pixels.")


def _decode(image: Image.Image) -> None:
    try:
        image.load()
    except Image.DecompressionBombError:
        raise _too_many_pixels() from None
    except _UNREADABLE as error:
        text = str(error).lower()
        if "memory" in text:
            raise MemoryError from None
        code = "image_truncated" if "truncated" in text else "image_corrupt"
        raise Rejected(code, _sentence(error)) from error


def _sentence(error: Exception) -> str:
    return f"The image cannot be decoded: {str(error)[:200] or type(error).__name__}."
