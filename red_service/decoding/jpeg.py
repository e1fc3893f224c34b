"""Counts the scans of a JPEG, because decoding time is linear in them and Pillow sets no limit."""

import re
from typing import Final

MAX_SCANS: Final = 64  # a progressive file has about 10; one of 63 kB with 410 scans took 3.5 s

_START, _END, _SCAN = 0xD8, 0xD9, 0xDA
_SEQUENTIAL, _PROGRESSIVE = (0xC0, 0xC1, 0xC9), (0xC2, 0xCA)
_MARKER: Final = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")  # not stuffing, fill bytes or restart markers


def is_jpeg(content: bytes) -> bool:
    """Whether the bytes begin as a JPEG does."""
    return content.startswith(b"\xff\xd8\xff")


def scans(content: bytes, enough: int = MAX_SCANS + 1) -> int:
    """The number of scans before the end-of-image marker, counting stops at `enough`.

    Walks the markers as libjpeg does, so scans of an embedded preview, of a second picture in an MPO or of
    whatever follows the image are not counted. Of a sequential image whose first scan has all
    components, the decoder runs only that scan, so nothing after it is read.
    """
    found, at, sequential, components = 0, 2, False, 0
    while found < enough and (match := _MARKER.search(content, at)):
        marker, at = match[1][0], match.end()
        if marker == _END:
            break
        if marker in _SEQUENTIAL:
            sequential, components = True, content[at + 7] if len(content) > at + 7 else 0
        elif marker in _PROGRESSIVE:
            sequential = False
        if marker == _SCAN:
            found += 1
            if sequential and content[at + 2 : at + 3] == bytes((components,)):
                break
        if marker not in (_START, 0x01):
            at += max(2, int.from_bytes(content[at : at + 2]))
    return found
