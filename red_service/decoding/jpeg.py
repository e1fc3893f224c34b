"""Reads the markers of a JPEG without libjpeg: its size, what decoding it would cost, what its pixels need.

Decoding time grows with scans times pixels, and neither libjpeg nor Pillow limits it. Metadata is left out,
so that whatever stands in it never decides whether the pixels are read.
"""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from red_service.decoding.limits import MAX_SEGMENTS, check_has_pixels, check_size, too_many_segments
from red_service.problems import Rejected

MAX_SCANS: Final = 64  # a progressive file has about 10; one of 63 kB with 410 scans took 3.5 s
#: Blocks of 8 x 8 samples that all scans may visit. One takes up to 60 ns, so these are about a second. 40 MP
#: have 1.9 million with full chroma; the ten scans of a progressive file visit 8.8 million, in CMYK 15.
MAX_BLOCKS: Final = 18_000_000

_START, _END, _SCAN, _FIRST_APP, _LAST_APP, _COMMENT = 0xD8, 0xD9, 0xDA, 0xE0, 0xEF, 0xFE
_ALONE: Final = (0x01, _START, _END)  # markers without a length
_LOSSLESS, _PROGRESSIVE = 0xC3, (0xC2, 0xCA)
_FRAMES: Final = (0xC0, 0xC1, 0xC2, _LOSSLESS, 0xC9, 0xCA)
_WEIGHTS: Final = {_LOSSLESS: 8, 0xC9: 4, 0xCA: 4}  # arithmetic coding: 240 ns a block, lossless: 500 ns
_UNSUPPORTED: Final = {
    **dict.fromkeys((0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF, 0xDE), "hierarchical"),
    0xCB: "lossless with arithmetic coding",
    0xF7: "JPEG-LS",
}
_COLOUR: Final = {0xE0: (b"JFIF\0", 14), 0xEE: (b"Adobe", 12)}  # what libjpeg reads of APPn, and its length
_MARKER: Final = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")  # not stuffing, fill bytes or restart markers


class Segment(NamedTuple):
    """A marker and its data: `content[start:end]`, whose end may lie behind the end of the file."""

    marker: int
    start: int
    end: int


class Frame(NamedTuple):
    """What the frame header says: its marker, the size in pixels, and how many blocks each component has."""

    marker: int
    width: int
    height: int
    blocks: dict[int, int]
    components: int


class Header(NamedTuple):
    """The part before the first scan, which begins at `scan`; `needed` is what of it the pixels need.

    `cost` is the number of blocks that all scans visit together, 0 as long as it is unknown.
    """

    frame: Frame
    needed: list[bytes]
    scan: int
    cost: int = 0

    @property
    def may_fail_once(self) -> bool:
        """Whether it can be decoded a second time within the limit, should a first decoder give up."""
        return 2 * self.cost <= MAX_BLOCKS


def is_jpeg(content: bytes) -> bool:
    """Whether the bytes begin as a JPEG does."""
    return content.startswith(b"\xff\xd8\xff")


def read(content: bytes) -> Header:
    """The header of a JPEG that this decoder can decode, whose size and cost are within the limits.

    Raises:
        Rejected: it cannot be decoded, or not at that cost; the detail says why.
    """
    header = _header(content)
    check_has_pixels(header.frame.width, header.frame.height)
    check_size(header.frame.width, header.frame.height)
    return header._replace(cost=_cost(content, header))


def pixels_only(content: bytes, header: Header) -> bytes:
    """The JPEG without metadata."""
    if sum(map(len, header.needed)) == header.scan - 2:
        return content
    return b"".join((content[:2], *header.needed, memoryview(content)[header.scan :]))


def _header(content: bytes) -> Header:
    frame: Frame | None = None
    needed: list[bytes] = []
    for segment in _segments(content, 2):
        marker, start, end = segment
        if end > len(content):
            break
        if marker == _END:
            raise _corrupt("it ends before its first scan")
        if marker in _UNSUPPORTED:
            raise _corrupt(f"it is {_UNSUPPORTED[marker]}")
        if marker in _FRAMES and frame is None:
            frame = _frame(marker, content[start + 4 : end])
        if marker == _SCAN:
            if frame is None:
                raise _corrupt("it has no frame before its first scan")
            return Header(frame, needed, start)
        if _is_needed(marker, content[start + 4 : end]):
            needed.append(content[start:end])
    raise Rejected("image_truncated", "The JPEG is cut: it ends inside its header.")


def _segments(content: bytes, at: int) -> Iterator[Segment]:
    """The segments from an offset on, as libjpeg finds them: none of an embedded preview."""
    for _ in range(MAX_SEGMENTS):
        match = _MARKER.search(content, at)
        if match is None:
            return
        marker, at = match[1][0], match.end()
        if marker not in _ALONE:
            at += max(2, int.from_bytes(content[at : at + 2]))
        yield Segment(marker, match.start(), at)
    raise too_many_segments()


def _frame(marker: int, data: bytes) -> Frame:
    bits, count = data[:1], int.from_bytes(data[5:6])
    if len(data) < 6 + 3 * count or not bits:
        raise _corrupt("its frame header is too short")
    if bits != b"\x08":
        raise _corrupt(f"it has {bits[0]} bits a sample, and only 8 are supported")
    if count not in (1, 3, 4):
        raise _corrupt(f"it has {count} components, and only 1, 3 or 4 are supported")
    height, width = int.from_bytes(data[1:3]), int.from_bytes(data[3:5])
    sampling = {data[at]: (data[at + 1] >> 4, data[at + 1] & 15) for at in range(6, 6 + 3 * count, 3)}
    most = [max(factors) or 1 for factors in zip(*sampling.values(), strict=True)]
    blocks = {
        name: -(-width * across // (8 * most[0])) * -(-height * down // (8 * most[1]))
        for name, (across, down) in sampling.items()
    }
    return Frame(marker, width, height, blocks, count)


def _is_needed(marker: int, data: bytes) -> bool:
    """Whether a segment decides about pixels: all but comments and most of what applications add."""
    if not _FIRST_APP <= marker <= _LAST_APP:
        return marker not in (*_ALONE, _COMMENT)
    name, length = _COLOUR.get(marker, (b"", -1))
    return len(data) >= length >= 0 and data.startswith(name)


def _cost(content: bytes, header: Header) -> int:
    """How many blocks the scans visit before the end of the image; raises Rejected if they cost too much.

    Of an image that is not progressive and whose first scan has all components, the decoder runs only that
    scan. What follows the image, such as a second picture, is never read.
    """
    frame, scans, cost = header.frame, 0, 0
    weight, most = _WEIGHTS.get(frame.marker, 1), max(frame.blocks.values())
    for segment in _segments(content, header.scan):
        if segment.marker == _END:
            break
        if segment.marker != _SCAN:
            continue
        names = _names(content, segment)
        scans += 1
        cost += weight * sum(frame.blocks.get(name, most) for name in names)
        if scans > MAX_SCANS:
            raise _too_complex(f"has more than {MAX_SCANS} scans")
        if cost > MAX_BLOCKS:
            raise _too_complex("has too many scans for its size")
        if frame.marker not in _PROGRESSIVE and len(names) == frame.components:
            break
    return cost


def _names(content: bytes, scan: Segment) -> bytes:
    """The names of the components in a scan, a byte each."""
    first = scan.start + 5
    return content[first : first + 2 * int.from_bytes(content[first - 1 : first]) : 2]


def _corrupt(cause: str) -> Rejected:
    return Rejected("image_corrupt", f"The JPEG cannot be decoded: {cause}.")


def _too_complex(what: str) -> Rejected:
    return Rejected("image_too_complex", f"The JPEG {what}; save it again as a baseline JPEG.")
