"""The fast path for WebP: rows are counted as they are decoded, and never all kept in memory.

Used only where it gives exactly Pillow's pixels: a still image with its chunks in the usual order,
decoded to its last row without an error. Everything else is left to Pillow.
"""

import ctypes
from collections.abc import Iterator
from typing import Final

from red_service.decoding import libwebp, webp
from red_service.decoding.webp_frame import FrameDecoder
from red_service.redness.count import count_interleaved
from red_service.redness.rule import Tally

STRIP_BYTES: Final = 1 << 20  # of pixels per call, about: they fit the second-level cache
STRIP_ROWS: Final = 64  # per call, at least: lossless decodes up to 8 rows of the last call again

library = libwebp.load()
DECODER: Final = f"libwebp-{libwebp.version(library)}" if library is not None else ""


def count(content: bytes, width: int, height: int) -> Tally | None:
    """The counts of a WebP with a canvas of `width` x `height` pixels, or None if Pillow must decode it."""
    frame = webp.still(content)
    if library is None or frame is None:
        return None
    try:
        features = libwebp.features_of(library, content)
        if features.has_animation or (features.width, features.height) != (width, height):
            return None
        channels = 4 if features.has_alpha else 3  # as Pillow decides between RGBA and RGB
        return _count(library, content, frame, width, height, channels)
    except (libwebp.CannotDecode, MemoryError, OSError):
        return None


def _count(
    library: ctypes.CDLL, content: bytes, frame: range, width: int, height: int, channels: int
) -> Tally | None:
    address = libwebp.address_of(content) + frame.start
    calls = _strips(width * channels, height) if webp.resumes(content, frame) else 1
    tally = Tally()
    with FrameDecoder(library, width, height, channels) as decoder:
        for size in _sizes(len(frame), calls):
            rows = decoder.feed(address, size)
            tally += count_interleaved(decoder.window, rows * width, channels)
    return tally if decoder.finished and tally.pixels == width * height else None


def _strips(row: int, height: int) -> int:
    """The number of calls in which to decode `height` rows of `row` bytes."""
    return -(-height // max(STRIP_ROWS, STRIP_BYTES // row))


def _sizes(size: int, calls: int) -> Iterator[int]:
    """How many bytes of the frame each call is given, counted from its start; the last one gets all."""
    return (size * call // calls for call in range(1, calls + 1))
