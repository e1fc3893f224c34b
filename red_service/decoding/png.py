"""PNG: only the chunks that pixels are made of are read, and a key of 16 bits is compared with 16 bits."""

import struct
from itertools import count
from typing import Final

from PIL import Image, ImageChops, ImageFile

from red_service.decoding import pillow
from red_service.decoding.limits import MAX_SEGMENTS, check_has_pixels, check_size, too_many_segments

MAGIC: Final = b"\x89PNG\r\n\x1a\n"
_SIDES: Final = slice(16, 24)  # where the header chunk has width and height
_CHUNK: Final = struct.Struct(">I4s")
_AROUND: Final = 12  # bytes of a chunk beside its data: length, name, checksum
_ANCILLARY: Final = 0x20  # set in the first letter of a chunk that a decoder may skip
_HIGH_BYTES, _LOW_BYTES = "RGB;16B", "RGB;16L"  # Pillow's names of how samples of 16 bits become 8


def is_png(content: bytes) -> bool:
    """Whether the bytes begin as a PNG does."""
    return content.startswith(MAGIC)


def decoded(content: bytes) -> Image.Image:
    """The image with its pixels decoded, of an animation the default image.

    Raises:
        Rejected: it is damaged or too large.
    """
    content = pixels_only(content)
    image = _opened(content)
    sixteen = bool(image.tile) and image.tile[0].args == _HIGH_BYTES
    pillow.decode(image)
    key = image.info.get("transparency")
    if sixteen and key is not None:
        low = _opened(content)
        low.tile = [low.tile[0]._replace(args=_LOW_BYTES)]
        pillow.decode(low)
        equal = ImageChops.multiply(
            _equal(image, [value >> 8 for value in key]), _equal(low, [value & 0xFF for value in key])
        )
        image.putalpha(ImageChops.invert(equal))
    return image


def pixels_only(content: bytes) -> bytes:
    """The PNG without the chunks that say nothing about its pixels; damage in them is damage to nothing.

    From where the chain of chunks breaks, everything is passed on, for the decoder to judge.

    Raises:
        Rejected: it has too many chunks.
    """
    view, kept, run, at = memoryview(content), [], 0, len(MAGIC)
    for number in count():
        if at + _CHUNK.size > len(content):
            break
        if number == MAX_SEGMENTS:
            raise too_many_segments()
        length, name = _CHUNK.unpack_from(content, at)
        if not name.isalpha():
            break
        end = at + _AROUND + length
        if name[0] & _ANCILLARY and name != b"tRNS":
            kept.append(view[run:at])
            run = min(end, len(content))
        at = end
    return b"".join((*kept, view[run:])) if kept else content


def _opened(content: bytes) -> ImageFile.ImageFile:
    if len(content) >= _SIDES.stop:
        check_has_pixels(*struct.unpack(">II", content[_SIDES]))  # Pillow would call the header damaged
    image = pillow.opened(content, "PNG")
    check_size(*image.size)
    return image


def _equal(image: Image.Image, key: list[int]) -> Image.Image:
    """255 for every pixel whose channels are `key`, else 0."""
    planes = [
        plane.point([255 * (level == value) for level in range(256)])
        for plane, value in zip(image.split(), key, strict=True)
    ]
    return ImageChops.multiply(ImageChops.multiply(planes[0], planes[1]), planes[2])
