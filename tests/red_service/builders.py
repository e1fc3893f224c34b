"""Images to measure, good and bad, made from nothing."""

import io
import random
import struct
import zlib
from collections.abc import Iterable

import numpy as np
from PIL import Image

RED, WHITE, BLACK = (255, 0, 0), (255, 255, 255), (0, 0, 0)


def encoded(image, format="PNG", **options) -> bytes:
    target = io.BytesIO()
    image.save(target, format, **options)
    return target.getvalue()


def solid(colour=RED, size=(16, 16), mode="RGB") -> Image.Image:
    return Image.new(mode, size, colour)


def pixels(rows: Iterable[Iterable[tuple[int, ...]]]) -> Image.Image:
    return Image.fromarray(np.array(rows, dtype=np.uint8))


def noise(size=(64, 64), seed=1, mode="RGB") -> Image.Image:
    channels = len(Image.new(mode, (1, 1)).getbands())
    content = random.Random(seed).randbytes(size[0] * size[1] * channels)
    return Image.frombytes(mode, size, content)


def smooth(size=(200, 150)) -> Image.Image:
    """Something like a photograph: compressible, no two rows equal."""
    x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    planes = [(x * 3 + y) % 256, (x + y * 2) % 200, (x * y // 7) % 180]
    return Image.fromarray(np.stack(planes, axis=-1).astype(np.uint8))


def a_jpeg(size=(200, 150), **options) -> bytes:
    return encoded(smooth(size), "JPEG", **{"quality": 85, **options})


def a_png(colour=RED, size=(16, 16)) -> bytes:
    return encoded(solid(colour, size))


def jpeg_of_size(width: int, height: int) -> bytes:
    """A small JPEG whose frame header claims another size."""
    content = bytearray(a_jpeg())
    frame = content.index(b"\xff\xc0")
    content[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(content)


def jpeg_of_scans(scans: int, size=(64, 64)) -> bytes:
    """A progressive JPEG whose last scan is repeated until it has that many."""
    content = a_jpeg(size, progressive=True)
    last = content.rindex(b"\xff\xda")
    have = content.count(b"\xff\xda")
    return content[:last] + content[last:-2] * (scans - have + 1) + content[-2:]


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, data: bytes, **options) -> bytes:
    """A PNG of any header; `data` is what the compressed stream holds."""
    return packed_png(width, height, zlib.compress(data, 9), **options)


def packed_png(width: int, height: int, packed: bytes, *, depth=8, colour=2, before=b"") -> bytes:
    """The same of a stream that is compressed already; `before` are more chunks."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    )


def a_solid_png_with(before: bytes) -> bytes:
    """A red PNG with more chunks before its pixels."""
    return png(16, 16, (b"\0" + bytes(RED) * 16) * 16, before=before)


def with_exif(exif: bytes) -> bytes:
    """A JPEG with whatever it may say of itself."""
    content = a_jpeg()
    segment = b"Exif\0\0" + exif
    return content[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + content[2:]


def zeros_compressed(size: int) -> bytes:
    """What zlib makes of `size` zero bytes, without ever holding them."""
    packer = zlib.compressobj(9)
    block = bytes(1 << 20)
    return b"".join([packer.compress(block) for _ in range(size >> 20)] + [packer.flush()])


def gif_header(width: int, height: int) -> bytes:
    """A GIF of one frame of 1 x 1 on a canvas of any size: 35 bytes."""
    canvas = b"GIF89a" + struct.pack("<HH", width, height) + b"\x80\0\0" + b"\xff\0\0\0\0\0"
    frame = b"\x2c" + struct.pack("<HHHH", 0, 0, 1, 1) + b"\0" + b"\x02\x02\x44\x01\0"
    return canvas + frame + b";"


def webp_of_size(width: int, height: int) -> bytes:
    """A lossy WebP whose frame header claims another size."""
    content = bytearray(encoded(solid(), "WEBP", quality=80))
    content[26:30] = struct.pack("<HH", width, height)
    return bytes(content)


def segment(marker: int, content: bytes = b"") -> bytes:
    """A marker of a JPEG with its data."""
    return bytes((0xFF, marker)) + struct.pack(">H", len(content) + 2) + content


def with_segments(jpeg: bytes, *segments: bytes) -> bytes:
    """The JPEG with more segments at its start."""
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


def with_frame_header(jpeg: bytes, marker: int | None = None, **fields: int) -> bytes:
    """The baseline JPEG as its frame header would have it: `bits`, or another marker."""
    content = bytearray(jpeg)
    frame = content.index(b"\xff\xc0")
    content[frame + 1] = marker or content[frame + 1]
    content[frame + 4] = fields.get("bits", 8)
    return bytes(content)


def scan(components: bytes, first: int, last: int, refines: int, bits: bytes = b"") -> bytes:
    """A scan of a JPEG: which components, which coefficients, and its bits; missing ones read as zeros."""
    ids = b"".join(bytes((component, 0)) for component in components)
    return segment(0xDA, bytes((len(components),)) + ids + bytes((first, last, refines))) + bits


def jpeg_of(marker: int, size: tuple[int, int], components: int, *scans: bytes, sampling=0x11) -> bytes:
    """A JPEG of any kind whose tables hold one code, a zero bit: DC 0, and a run of 16384 blocks of no AC."""
    frame = struct.pack(">BHHB", 8, size[1], size[0], components)
    frame += b"".join(
        bytes((number + 1, sampling if number == 0 else 0x11, 0)) for number in range(components)
    )
    one_code = bytes((1,)) + bytes(15)
    tables = segment(0xDB, b"\0" + b"\1" * 64)
    tables += segment(0xC4, b"\0" + one_code + b"\0") + segment(0xC4, b"\x10" + one_code + b"\xe0")
    return b"\xff\xd8" + tables + segment(marker, frame) + b"".join(scans) + b"\xff\xd9"


def chunks_of(png: bytes) -> list[tuple[bytes, bytes]]:
    """The chunks of a PNG: name and data."""
    found, at = [], 8
    while at < len(png):
        length = int.from_bytes(png[at : at + 4])
        found.append((png[at + 4 : at + 8], png[at + 8 : at + 8 + length]))
        at += 12 + length
    return found


def webp_with(*chunks: tuple[bytes, bytes], flags: int = 0, end: bytes = b"") -> bytes:
    """An extended WebP: what is in it is given as names and data."""
    body = b"VP8X\x0a\0\0\0" + bytes((flags, 0, 0, 0)) + b"\x0f\0\0\x0f\0\0"
    for name, content in chunks:
        body += name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
    return b"RIFF" + struct.pack("<I", len(body) + 4 + len(end)) + b"WEBP" + body + end


def webp_frame(colour=RED) -> tuple[bytes, bytes]:
    """The frame of a WebP of 16 x 16: its chunk's name and data."""
    content = encoded(solid(colour), "WEBP", quality=80)
    return content[12:16], content[20 : 20 + int.from_bytes(content[16:20], "little")]
