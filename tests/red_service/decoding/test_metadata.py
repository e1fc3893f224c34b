"""Metadata decides nothing: whatever it holds, however damaged, the pixels are read and count the same."""

import struct
import zlib

import pytest

from red_service.decoding import fast_jpeg, fast_webp
from red_service.decoding.image import measure
from tests.red_service import builders as b
from tests.red_service.decoding.verdicts import case, verdict

BOMB = b"a\0\0" + b.zeros_compressed(200 << 20)
INCOMPRESSIBLE = b.noise((700, 700)).tobytes()  # 1.4 MiB


def bad_crc(kind, content):
    return b.chunk(kind, content)[:-1] + b"?"


PNG_CHUNKS = {
    "empty gamma": b.chunk(b"gAMA", b""),
    "bad checksum": bad_crc(b"gAMA", b"\0\0\xb1\x8f"),
    "short chromaticity": b.chunk(b"cHRM", bytes(3)),
    "short resolution": b.chunk(b"pHYs", b"\0"),
    "text bomb": b.chunk(b"zTXt", BOMB),
    "profile bomb": b.chunk(b"iCCP", BOMB),
    "large profile": b.chunk(b"iCCP", b"a\0\0" + zlib.compress(INCOMPRESSIBLE)),
    "unknown compression": b.chunk(b"iCCP", b"a\0\7"),
    "unfinished profile": b.chunk(b"iCCP", b"a"),
    "international bomb": b.chunk(b"iTXt", b"a\0\1\0\0\0" + b.zeros_compressed(200 << 20)),
    "compressed XMP": b.chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(INCOMPRESSIBLE)),
    "much text": b.chunk(b"zTXt", b"a\0\0" + b.zeros_compressed(1 << 20)) * 70,
    "no null in text": b.chunk(b"tEXt", b"") + b.chunk(b"zTXt", b"a"),
    "EXIF of nothing": b.chunk(b"eXIf", b"\xff" * 10),
    "animation of nothing": b.chunk(b"acTL", b"") + b.chunk(b"fcTL", b""),
    "frame out of order": b.chunk(b"acTL", b"\0\0\0\2\0\0\0\0") + b.chunk(b"fcTL", b"\0\0\0\7" + bytes(22)),
    "frame too large": b.chunk(b"fcTL", struct.pack(">IIIII", 0, 99, 99, 0, 0) + bytes(6)),
    "no colour": b.chunk(b"sRGB", b"") + b.chunk(b"sBIT", b"") + b.chunk(b"bKGD", b""),
    "private": bad_crc(b"prVt", b"anything"),
}  # fmt: skip
PLAIN_PNG = b.png(16, 16, (b"\0" + bytes(b.RED) * 16) * 16)


@pytest.mark.parametrize("kind", PNG_CHUNKS)
def test_a_chunk_of_a_png_that_says_nothing_about_pixels_is_not_read(kind):
    expected, chunks = verdict(PLAIN_PNG), PNG_CHUNKS[kind]

    assert verdict(b.a_solid_png_with(chunks)) == expected
    assert verdict(PLAIN_PNG[:-12] + chunks + PLAIN_PNG[-12:]) == expected  # behind the pixels
    assert verdict(PLAIN_PNG[:-12] + chunks[: len(chunks) // 2]) == expected  # and cut there


def test_what_sharp_and_go_open_is_measured():
    assert measure(case("chunk_no_fctl.png")).pixels == 128 * 64
    assert measure(case("png_empty_gama.png")).red_bp == 5000


@pytest.mark.parametrize("name", [b"IHDR", b"PLTE", b"tRNS"])
def test_a_damaged_chunk_that_pixels_need_is_corrupt(name):
    content = b.encoded(b.smooth().quantize(16), transparency=3)
    at = content.index(name)
    length = int.from_bytes(content[at - 4 : at])
    damaged = bytearray(content)
    damaged[at + 4 + length] ^= 1

    assert verdict(bytes(damaged)) == "image_corrupt"


SEGMENTS = {
    "EXIF of nothing": b.segment(0xE1, b"Exif\0\0" + b"\xff" * 1000),
    "EXIF that counts too much": b.segment(
        0xE1, b"Exif\0\0II*\0\x08\0\0\0\1\0\x1a\1\5\0\xff\xff\xff\xff\0\0\0\0" + bytes(8)
    ),
    "short JFIF": b.segment(0xE0, b"JFIF\0"),
    "short profile": b.segment(0xE2, b"ICC_PROFILE\0"),
    "large profile": b"".join(
        b.segment(0xE2, b"ICC_PROFILE\0" + bytes((n + 1, 30)) + INCOMPRESSIBLE[n * 50000 :][:50000])
        for n in range(28)
    ),
    "pictures that are not there": b.segment(0xE2, b"MPF\0II*\0\x08\0\0\0\2\0\1\xb0\4\0\1\0\0\0\xff\0\0\0"),
    "short Photoshop": b.segment(0xED, b"Photoshop 3.0\x008BIM\4\4"),
    "short Adobe": b.segment(0xEE, b"Adobe"),
    "XMP": b.segment(0xE1, b"http://ns.adobe.com/xap/1.0/"),
    "comment": b.segment(0xFE) * 1000,
}


@pytest.mark.parametrize("slow", [False, True], ids=("simplejpeg", "Pillow"))
@pytest.mark.parametrize("kind", SEGMENTS)
@pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=("baseline", "progressive"))
def test_a_segment_of_a_jpeg_that_says_nothing_about_pixels_is_not_read(kind, options, slow, monkeypatch):
    if slow:
        monkeypatch.setattr(fast_jpeg, "simplejpeg", None)
    content = b.a_jpeg(**options)

    assert verdict(b.with_segments(content, SEGMENTS[kind])) == verdict(content)


@pytest.mark.parametrize("slow", [False, True], ids=("simplejpeg", "Pillow"))
def test_the_colours_of_a_jpeg_are_those_that_its_jfif_and_adobe_segments_say(slow, monkeypatch):
    if slow:
        monkeypatch.setattr(fast_jpeg, "simplejpeg", None)
    as_rgb = b.encoded(b.solid(), "JPEG", keep_rgb=True, quality=100)
    as_cmyk = b.encoded(b.solid((0, 255, 255, 0), mode="CMYK"), "JPEG", quality=95)

    assert measure(as_rgb).red_bp == 10_000
    assert measure(as_cmyk).red_bp == 10_000


def exif(length=1000):
    return b"EXIF", b"\xff" * length


PROFILE, EXIF, XMP = 0x20, 0x08, 0x04
WEBPS = {
    "large profile": b.webp_with((b"ICCP", INCOMPRESSIBLE), b.webp_frame(), flags=PROFILE),
    "broken EXIF": b.webp_with(b.webp_frame(), exif(), flags=EXIF),
    "EXIF before the frame": b.webp_with(exif(), b.webp_frame(), flags=EXIF),
    "profile behind the frame": b.webp_with(b.webp_frame(), (b"ICCP", b"odd"), flags=PROFILE),
    "promised, and missing": b.webp_with(b.webp_frame(), flags=PROFILE | EXIF | XMP),
    "not promised": b.webp_with(b.webp_frame(), exif(), (b"XMP ", b"<x/>")),
    "cut in its EXIF": b.webp_with(b.webp_frame(), exif(), flags=EXIF)[:-500],
    "too long": b.webp_with(b.webp_frame(), flags=XMP, end=b"XMP \xff\xff\xff\xffxxxx"),
    "twice": b.webp_with((b"ICCP", b"a"), (b"ICCP", b"bc"), b.webp_frame(), flags=PROFILE),
}


@pytest.mark.parametrize("slow", [False, True], ids=("libwebp", "Pillow"))
@pytest.mark.parametrize("kind", WEBPS)
def test_metadata_of_a_webp_is_not_read(kind, slow, monkeypatch):
    if slow:
        monkeypatch.setattr(fast_webp, "library", None)

    assert verdict(WEBPS[kind]) == verdict(b.webp_with(b.webp_frame()))


def test_a_webp_of_more_chunks_than_anyone_writes_is_refused_before_it_is_decoded():
    assert verdict(b.webp_with(*[(b"EXIF", b"")] * 100_001, b.webp_frame())) == "image_too_complex"


def test_a_webp_cut_in_its_frame_is_corrupt_with_and_without_metadata():
    name, frame = b.webp_frame()
    for before in ((), ((b"ICCP", b"a profile"),)):
        content = b.webp_with(*before, (name, frame), flags=PROFILE if before else 0)

        assert verdict(content[: -len(frame) // 2]) == "image_corrupt"
