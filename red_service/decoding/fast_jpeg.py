"""The fast path for JPEG: libjpeg-turbo decodes into a buffer, and the kernel counts in it.

Used only where it gives exactly Pillow's pixels: three components, YCbCr, decoded without a single
warning. Everything else, every damaged file included, is left to Pillow.
"""

from importlib.metadata import version
from typing import Any, Final

from red_service.redness.count import count_interleaved
from red_service.redness.rule import Tally

try:
    import simplejpeg
except ImportError:  # no wheel for this machine: Pillow decodes
    simplejpeg: Any = None  # type: ignore[no-redef]

KEPT_BYTES: Final = 48 << 20  # 16 million pixels; a larger image gets a buffer of its own
DECODER: Final = f"simplejpeg-{version('simplejpeg')}" if simplejpeg is not None else ""

_buffer = bytearray()


def count(content: bytes, width: int, height: int) -> Tally | None:
    """The counts of an RGB JPEG of `width` x `height` pixels, or None if Pillow must decode it."""
    if simplejpeg is None:
        return None
    try:
        rows, columns, colours, _ = simplejpeg.decode_jpeg_header(content)
        if (columns, rows, colours) != (width, height, "YCbCr"):
            return None
        buffer = _buffer_of(width * height * 3)
        simplejpeg.decode_jpeg(content, "RGB", buffer=buffer, strict=True)
    except ValueError:
        return None
    return count_interleaved(buffer, width * height, 3)


def _buffer_of(size: int) -> bytearray:
    """At least `size` bytes, reused between images: fresh memory costs a page fault for every 4 KiB."""
    global _buffer
    if size > KEPT_BYTES:
        return bytearray(size)
    if len(_buffer) < size:
        _buffer = bytearray(size)
    return _buffer
