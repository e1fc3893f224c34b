"""The boxes of AVIF and HEIC files: which of the two a file is, whether it is cut, and its pixels alone."""

import re
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from red_service.decoding.limits import check_has_pixels, check_size

_BOX: Final = 8  # bytes of a box's length and name
_MAX_BOXES: Final = 10_000
_AVIF: Final = frozenset({b"avif", b"avis"})
_CONTAINERS: Final = frozenset({b"mif1", b"msf1"})
_HEIC: Final = frozenset(b"heic heix heim heis hevc hevx hevm hevs".split())
_SIZE: Final = re.compile(rb"ispe\0{4}(.{8})", re.DOTALL)
#: The name of an item's kind, behind its version, flags, id and protection.
_EXIF: Final = re.compile(rb"(infe(?:\x02.{3}.{4}|\x03.{3}.{6}))Exif", re.DOTALL)


class _Box(NamedTuple):
    name: bytes
    start: int
    end: int


def is_avif(content: bytes) -> bool:
    """Whether the bytes begin as an AVIF does."""
    brands = _brands(content)
    return bool(brands) and brands[0] in _AVIF | _CONTAINERS and not _AVIF.isdisjoint(brands)


def is_heic(content: bytes) -> bool:
    """Whether the bytes begin as a HEIC does, or as a HEIF with another codec than AVIF's."""
    brands = _brands(content)
    return not (_HEIC | _CONTAINERS).isdisjoint(brands) and not is_avif(content)


def is_cut(content: bytes) -> bool:
    """Whether the file ends in a box, or before those that every image has."""
    boxes = list(_boxes(content))
    return not boxes or boxes[-1].end != len(content) or not {b"meta", b"mdat"} <= {box.name for box in boxes}


def check_sizes(content: bytes) -> None:
    """Raises Rejected if the image, or any tile of it, is too large or has no pixels."""
    for name, start, end in _boxes(content):
        if name == b"meta":
            for found in _SIZE.finditer(content, start, end):
                width, height = struct.unpack(">II", found[1])
                check_has_pixels(width, height)
                check_size(width, height)


def pixels_only(content: bytes) -> bytes:
    """The file with its EXIF, which a decoder may stumble over, as an item of no known kind."""
    for name, start, end in _boxes(content):
        if name == b"meta":
            meta, found = _EXIF.subn(rb"\1skip", content[start:end])
            return b"".join((content[:start], meta, memoryview(content)[end:])) if found else content
    return content


def _brands(content: bytes) -> list[bytes]:
    """What the file says it is, the most exact first; empty if it is no file of boxes."""
    if content[4:8] != b"ftyp":
        return []
    end = min(int.from_bytes(content[:4]), 1024)
    return [content[8:12], *(content[at : at + 4] for at in range(16, end, 4))]


def _boxes(content: bytes) -> Iterator[_Box]:
    """The boxes of the file, not those in them; the last one may end behind the file."""
    at = 0
    for _ in range(_MAX_BOXES):
        if at + _BOX > len(content):
            return
        size = int.from_bytes(content[at : at + 4])
        if size == 1:  # its length is in the next 8 bytes
            size = int.from_bytes(content[at + _BOX : at + 2 * _BOX].ljust(_BOX, b"\xff"))
        end = at + size if size else len(content)
        yield _Box(content[at + 4 : at + _BOX], at, end)
        if size < _BOX:
            return
        at = end
