"""Record batches that unpack to more than memory can hold: some KiB of zstd may be a gigabyte of zeros.

`bound_unpacking` teaches every consumer of the process to stop unpacking at MOST bytes; `TooMuch` is raised,
and a stand-in takes the place of the batch's records (`header_keys.py`). This touches private API of
aiokafka, which is pinned; `tests/red_common/kafka/patches/test_bounded_unpacking.py` holds it.
"""

import struct
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import cramjam
import numpy as np
from aiokafka import codec
from aiokafka.record import default_records
from aiokafka.record._crecords import default_records as c_default_records

MOST: Final = 128 << 20  # bytes; a batch of ours has less than one MiB
_GZIP: Final = 31  # zlib's window with a header of gzip
_XERIAL: Final = 16  # bytes before the blocks of snappy as Java's library frames it


class TooMuch(Exception):
    """Raised instead of unpacking a record batch to more than MOST bytes."""


def bound_unpacking(most: int = MOST) -> None:
    """From now on and for the whole process; safe to call twice."""
    bounded: dict[str, Callable[..., bytes]] = {
        "gzip_decode": _gzip, "snappy_decode": _snappy, "lz4_decode": _lz4, "zstd_decode": _zstd,
    }  # fmt: skip
    for module in (default_records, c_default_records):
        for name, decode in bounded.items():
            setattr(module, name, partial(decode, most=most))


def _gzip(packed: Any, most: int) -> bytes:
    found, left = [], bytes(packed)
    while left:
        unpacking = zlib.decompressobj(_GZIP)
        found.append(unpacking.decompress(left, most + 1))
        most -= len(found[-1])
        if most < 0:
            raise TooMuch
        left = unpacking.unused_data if unpacking.eof else b""
    return b"".join(found)


def _snappy(packed: Any, most: int) -> bytes:
    for block in _snappy_blocks(bytes(packed)):
        most -= cramjam.snappy.decompress_raw_len(block)
    if most < 0:
        raise TooMuch
    return bytes(codec.snappy_decode(packed))


def _snappy_blocks(packed: bytes) -> list[bytes]:
    if not codec._detect_xerial_stream(packed):
        return [packed]
    found, at = [], _XERIAL
    while at < len(packed):
        (size,) = struct.unpack_from("!i", packed, at)
        found.append(packed[at + 4 : at + 4 + size])
        at += 4 + size
        if size <= 0:
            break  # damaged: the decoder will say so
    return found


def _lz4(packed: Any, most: int) -> bytes:
    return _into(cramjam.lz4.decompress_into, packed, most)


def _zstd(packed: Any, most: int) -> bytes:
    return _into(cramjam.zstd.decompress_into, packed, most)


def _into(decompress: Callable[[bytes, Any], int], packed: Any, most: int) -> bytes:
    room = np.empty(most, np.uint8)  # takes memory only where it is written to
    try:
        size = decompress(bytes(packed), room)
    except cramjam.DecompressionError as error:
        if "whole buffer" in str(error):
            raise TooMuch from error
        raise
    return room[:size].tobytes()
