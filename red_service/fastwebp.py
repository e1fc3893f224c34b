"""The fast path of WebP: rows are counted as they are decoded, and never all of them kept.

Taken only where it gives Pillow's very pixels: a still image in the usual order of chunks, decoded
to its last row without an error. Anything else is Pillow's to judge.
"""

import ctypes
from collections.abc import Iterator
from typing import Final

from red_service import libwebp, webp
from red_service.pixels import count_interleaved
from red_service.redness import Tally

STRIP_BYTES: Final = 1 << 20  # of pixels, about what a call gives: the second-level cache holds them
STRIP_ROWS: Final = 64  # at least: a call of lossless decodes up to 8 rows of the call before again

library = libwebp.load()
DECODER: Final = f"libwebp-{libwebp.version(library)}" if library is not None else ""


def count(content: bytes, width: int, height: int, channels: int) -> Tally | None:
    """The counts of a WebP of that size with 3 (RGB) or 4 (RGBA) channels; None: Pillow must decode it."""
    frame = webp.still(content)
    if library is None or frame is None:
        return None
    address = ctypes.cast(ctypes.c_char_p(content), ctypes.c_void_p).value or 0
    tally = Tally()
    try:
        with libwebp.FrameDecoder(library, width, height, channels) as decoder:
            for size in _sizes(len(frame), _strips(width * channels, height)):
                rows = decoder.feed(address + frame.start, size)
                tally += count_interleaved(decoder.window, rows * width, channels)
    except (libwebp.CannotDecode, MemoryError, OSError):
        return None
    return tally if decoder.finished and tally.pixels == width * height else None


def _strips(row: int, height: int) -> int:
    """In how many calls to decode `height` rows of `row` bytes."""
    return -(-height // max(STRIP_ROWS, STRIP_BYTES // row))


def _sizes(size: int, calls: int) -> Iterator[int]:
    """How many bytes of the frame each call may see: the later the more, in the end all."""
    return (size * call // calls for call in range(1, calls + 1))
