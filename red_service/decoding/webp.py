"""Reads the chunks of a WebP without libwebp: the size of its canvas, and where its frame is."""

import re
from itertools import count
from typing import Final

from red_service.decoding.limits import MAX_SEGMENTS, too_many_segments

_HEADER: Final = 30  # bytes that contain the canvas size, whatever the first chunk is
_RIFF, _FIRST = 8, 12  # bytes before what the file's length counts, and before the first chunk
_CHUNK: Final = 8  # bytes of a chunk's name and length
_VP8X: Final = b"VP8X\x0a\0\0\0"  # the chunk that begins an extended file
_FLAGS, _VP8X_END = 20, 30  # where VP8X keeps its flags, and where the next chunk begins
_HAS_ALPHA, _HAS_METADATA = 0x10, 0x2C  # ICC profile, EXIF, XMP
_METADATA: Final = (b"ICCP", b"EXIF", b"XMP ")
_FRAME_HEADER: Final = 10  # bytes of VP8 before its first partition
_STILL: Final = re.compile(rb"(VP8X(?:ICCP)?)?((ALPH)?VP8 |VP8L)(?:EXIF|XMP )*")
_MAX_CHUNKS: Final = 8


def is_webp(content: bytes) -> bool:
    """Whether the bytes begin as a WebP does."""
    return content[:4] == b"RIFF" and content[8:12] == b"WEBP"


def canvas(content: bytes) -> tuple[int, int]:
    """The canvas of a WebP as (width, height) in pixels.

    (0, 0) if the bytes are too short, or begin with an unknown chunk.
    Source: RFC 9649, sections 2.5 (VP8), 2.6 (VP8L) and 2.7 (VP8X).
    """
    head = content[:_HEADER].ljust(_HEADER, b"\0")
    kind = head[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        sides = (int.from_bytes(head[at : at + 2], "little") & 0x3FFF for at in (26, 28))
        return next(sides), next(sides)
    return 0, 0


def pixels_only(content: bytes) -> bytes:
    """The WebP without ICC profile, EXIF and XMP, whole or not: the same bytes if it has none.

    Raises:
        Rejected: it has too many chunks.
    """
    if content[_FIRST:_FLAGS] != _VP8X or len(content) < _VP8X_END:
        return content
    end = min(_RIFF + int.from_bytes(content[4:8], "little"), len(content))
    view, kept, at, size = memoryview(content), [], _VP8X_END, _VP8X_END - _RIFF
    has_metadata = bool(content[_FLAGS] & _HAS_METADATA)
    for number in count():
        if at + _CHUNK > end:
            break
        if number == MAX_SEGMENTS:
            raise too_many_segments()
        length = int.from_bytes(content[at + 4 : at + _CHUNK], "little")
        whole = _CHUNK + length + length % 2
        if content[at : at + 4] in _METADATA:
            has_metadata = True
        else:
            kept.append(view[at : min(at + whole, end)])
            size += whole
        at += whole
    if not has_metadata:
        return content
    flags = bytes((content[_FLAGS] & ~_HAS_METADATA,))
    start = b"RIFF" + (size & 0xFFFFFFFF).to_bytes(4, "little") + b"WEBP" + _VP8X + flags
    return b"".join((start, view[_FLAGS + 1 : _VP8X_END], *kept))


def still(content: bytes) -> range | None:
    """The range of bytes with the chunks of a still image, alpha included, as libwebp's demuxer finds them.

    None for an animation, and for any order of chunks that encoders do not write.
    """
    end = 8 + int.from_bytes(content[4:8], "little")
    names, at = b"", 12
    starts: list[int] = []
    while at < end and len(starts) < _MAX_CHUNKS:
        starts.append(at)
        names += content[at : at + 4]
        length = int.from_bytes(content[at + 4 : at + _CHUNK], "little")
        at += _CHUNK + length + length % 2
    order = _STILL.fullmatch(names)
    if order is None or at != end or end > len(content) or (order[1] and starts[1] != _VP8X_END):
        return None
    flags = content[_FLAGS] if order[1] else 0
    if flags & ~(_HAS_ALPHA | _HAS_METADATA) or (order[3] and not flags & _HAS_ALPHA):
        return None  # the demuxer would drop such an alpha
    starts.append(end)
    return range(starts[order.start(2) // 4], starts[order.end(2) // 4])


def resumes(content: bytes, frame: range) -> bool:
    """Whether libwebp decodes the frame to the same pixels in one call and in several.

    The arithmetic decoder of VP8 is made for partitions whose first byte is 0 to 254. Its results for 255,
    which no encoder writes, depend on how many bytes it was given. There are 1, 2, 4 or 8 partitions, and
    only decoding tells how many, so the last one must not begin with 255 in any of these cases.
    """
    at = frame.start
    if content[at : at + 4] == b"ALPH":
        length = int.from_bytes(content[at + 4 : at + _CHUNK], "little")
        at += _CHUNK + length + length % 2
    if content[at : at + 4] != b"VP8 ":
        return True
    at += _CHUNK
    table = at + _FRAME_HEADER + (int.from_bytes(content[at : at + 3], "little") >> 5)
    starts = (_last_partition(content, table, before) for before in (0, 1, 3, 7))
    return all(start >= frame.stop or content[start] != 0xFF for start in starts)


def _last_partition(content: bytes, table: int, before: int) -> int:
    """The offset of the last partition, if the table gives the sizes of `before` partitions ahead of it."""
    sizes = (int.from_bytes(content[table + 3 * n : table + 3 * n + 3], "little") for n in range(before))
    return table + 3 * before + sum(sizes)
