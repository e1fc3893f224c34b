"""GIF: the first frame on a transparent canvas."""

import struct
from typing import Final

from red_service.decoding import pillow
from red_service.decoding.limits import check_has_pixels, check_size
from red_service.redness import count
from red_service.redness.rule import Tally

MAGICS: Final = (b"GIF87a", b"GIF89a")
_SIDES: Final = slice(6, 10)


def is_gif(content: bytes) -> bool:
    """Whether the bytes begin as a GIF does."""
    return content.startswith(MAGICS)


def counted(content: bytes) -> tuple[tuple[int, int], Tally]:
    """The size of the canvas, and its counts; what the first frame does not cover is transparent black.

    Raises:
        Rejected: it is damaged or too large.
    """
    if len(content) >= _SIDES.stop:
        check_has_pixels(*struct.unpack("<HH", content[_SIDES]))  # Pillow would call the header damaged
    with pillow.opened(content, "GIF") as image:
        check_size(*image.size)
        frame = image.tile[0].extents
        pillow.decode(image)
        covers_all = frame == (0, 0, *image.size)
        counts = count.count(image if covers_all else image.crop(frame))
        uncovered = image.width * image.height - counts.pixels
        return image.size, counts + Tally(pixels=uncovered)
