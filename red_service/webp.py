"""The canvas of a WebP, read from its first chunk without libwebp."""

from typing import Final

_HEADER: Final = 30  # bytes that hold the canvas, whatever the first chunk is


def canvas(content: bytes) -> tuple[int, int] | None:
    """(width, height) in pixels; None when the bytes do not begin like a WebP.

    A beginning too short or of an unknown chunk is (0, 0).
    Source: RFC 9649, sections 2.5 (VP8), 2.6 (VP8L) and 2.7 (VP8X).
    """
    if content[:4] != b"RIFF" or content[8:12] != b"WEBP":
        return None
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
