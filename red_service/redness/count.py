"""Counts the pixels of a decoded image strip by strip: copying them all would cost nearly a decode.

The C kernel counts where it has been built, else numpy; the numbers are the same (`kernel.py`).
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
from PIL import Image

from red_service.redness import kernel
from red_service.redness.rule import STRIP_PIXELS, Plane, Tally, tally_grey, tally_pixels

GREY: Final = frozenset({"1", "L", "LA", "La", "I;16", "I;16B", "I;16L", "I;16N", "I"})


def count(image: Image.Image) -> Tally:
    """Counts a loaded image of any mode; pixels with an alpha below 128 of 255 are not red."""
    return sum(map(_tally, _strips(image)), Tally())


def count_interleaved(pixels: bytes | bytearray | memoryview, size: int, channels: int) -> Tally:
    """Counts the first `size` pixels of a buffer of 3 (RGB) or 4 (RGBA) channels, 8 bits each.

    Raises:
        ValueError: the buffer has fewer pixels.
    """
    fast = kernel.load()
    if fast is not None:
        return fast.tally(pixels, size, channels)
    view = memoryview(pixels)
    steps = range(0, size * channels, STRIP_PIXELS * channels)
    ends = (min(start + STRIP_PIXELS * channels, size * channels) for start in steps)
    return sum(
        (tally_pixels(view[start:end], channels) for start, end in zip(steps, ends, strict=True)), Tally()
    )


def _strips(image: Image.Image) -> Iterator[Image.Image]:
    """Strips of whole rows, about STRIP_PIXELS each."""
    rows = max(1, STRIP_PIXELS // image.width)
    for top in range(0, image.height, rows):
        yield image.crop((0, top, image.width, min(top + rows, image.height)))


def _tally(strip: Image.Image) -> Tally:
    if strip.mode in GREY:
        return tally_grey(_grey_plane(strip))
    transparent = strip.mode in ("P", "PA", "RGBA") or "transparency" in strip.info
    mode = "RGBA" if transparent else "RGB"
    converted = strip if strip.mode == mode else strip.convert(mode)
    return count_interleaved(converted.tobytes(), strip.width * strip.height, len(mode))


def _grey_plane(strip: Image.Image) -> Plane:
    """The strip's grey, of any depth, in 8 bits: 16-bit values lose their low byte."""
    if strip.mode.startswith("I"):
        return (np.asarray(strip) >> 8).astype(np.uint8)
    band = strip.convert("L") if strip.mode == "1" else strip.getchannel(0)
    return np.frombuffer(band.tobytes(), dtype=np.uint8)
