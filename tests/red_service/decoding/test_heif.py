"""AVIF as Pillow decodes it, and HEIC with its extra."""

import asyncio
import io

import numpy as np
import pytest
from PIL import Image

from red_service.decoding import heic, pillow
from red_service.decoding.image import measure
from red_service.decoding.pool import DecoderPool
from tests.red_service import builders as b
from tests.red_service.decoding.verdicts import case, refusal, verdict

HEIC = pytest.param(
    "HEIF", marks=pytest.mark.skipif(not heic.DECODER, reason="needs the extra red-stats[heic]")
)
NAMES = {"AVIF": "avif", "HEIF": "heic"}
KINDS = pytest.mark.parametrize("kind", ["AVIF", HEIC])


def half_transparent(opaque=128, transparent=127):
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[..., 0] = 255
    pixels[:32, :, 3], pixels[32:, :, 3] = opaque, transparent
    return Image.fromarray(pixels)


def with_size(content, width, height):
    """The file with another size in its header than its pixels have."""
    at = content.index(b"ispe") + 8
    return content[:at] + width.to_bytes(4) + height.to_bytes(4) + content[at + 8 :]


@KINDS
def test_red_is_red(kind):
    found = measure(b.encoded(b.solid(size=(64, 48)), kind, quality=90))

    assert (found.format, found.width, found.height) == (NAMES[kind], 64, 48)
    assert found.red_bp == 10_000
    assert found.decoder.startswith("pillow-")
    assert measure(b.encoded(b.solid(b.WHITE, (64, 48)), kind)).red_bp == 0
    assert measure(b.encoded(b.solid(200, (64, 48), "L"), kind)).red_bp == 0


@KINDS
def test_an_alpha_below_128_is_not_red(kind):
    assert measure(b.encoded(half_transparent(255, 0), kind, quality=100)).red_bp == 5000


def test_the_edge_of_alpha_is_exact():
    assert measure(b.encoded(half_transparent(), "AVIF", quality=100, subsampling="4:4:4")).red_bp == 5000


def test_the_counts_are_those_of_pillows_pixels():
    content = b.encoded(b.smooth(), "AVIF")
    with Image.open(io.BytesIO(content)) as image:
        as_png = b.encoded(image)

    found, expected = measure(content), measure(as_png)

    assert found.red_pixels == expected.red_pixels
    assert found.red_excess_bp == expected.red_excess_bp


def test_the_first_frame_of_a_sequence_counts():
    content = b.encoded(
        b.solid(size=(64, 64)), "AVIF", save_all=True, append_images=[b.solid(b.BLACK, (64, 64))]
    )

    assert measure(content).red_bp == 10_000


@KINDS
def test_a_size_beyond_the_limits_is_refused_from_the_header(kind):
    content = b.encoded(b.solid(size=(64, 64)), kind)

    assert verdict(with_size(content, 9000, 9000)) == "image_too_many_pixels"
    assert verdict(with_size(content, 20_000, 64)) == "image_dimension"
    assert verdict(with_size(content, 2**32 - 1, 2**32 - 1)) == "image_too_many_pixels"
    assert verdict(with_size(content, 0, 64)) == "unsupported_format"


@KINDS
def test_a_file_cut_anywhere_is_truncated(kind):
    content = b.encoded(b.smooth((64, 48)), kind)
    known = content.index(b"meta")  # from here on the bytes say what they are

    assert {verdict(content[:end]) for end in range(known, len(content))} == {"image_truncated"}


@KINDS
def test_damage_is_refused_and_says_so(kind):
    content = b.encoded(b.smooth((64, 48)), kind)
    damaged = content.replace(b"pitm", b"xxxx")

    assert verdict(damaged) == "image_corrupt"


@KINDS
@pytest.mark.parametrize("exif", [b"\xff" * 100, b"Exif\0\0" + b"\xff" * 100, b""])
def test_broken_metadata_changes_nothing(kind, exif):
    plain = b.encoded(b.smooth((64, 48)), kind)
    content = b.encoded(b.smooth((64, 48)), kind, exif=b"Exif\0\0II*\0\x08\0\0\0" + bytes(100), xmp=b"<x/>")
    at = content.index(b"II*\0\x08")
    broken = content[:at] + exif[:100].ljust(100, b"\xff") + content[at + 100 :]

    assert verdict(content) == verdict(plain)
    assert verdict(broken) == verdict(plain)


@pytest.mark.system
async def test_an_image_far_larger_than_it_says_ends_in_the_limits_of_a_decoder():
    pool = DecoderPool(1)
    await pool.start()
    try:
        async with asyncio.timeout(60):
            found = await pool.measure(case("avif_says_10x10_is_12000x12000.avif"))
        assert (found.width, found.height, found.red_bp) == (10, 10, 0)
        assert (await pool.measure(b.encoded(b.solid(size=(4000, 3000)), "AVIF", speed=10))).red_bp == 10_000
    finally:
        await pool.stop()


def test_heic_without_its_extra_is_refused_and_says_what_is_needed(monkeypatch):
    monkeypatch.setattr(heic, "DECODER", "")
    for brand in (b"heic", b"heix", b"mif1"):
        content = b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1heic" + bytes(50)

        refused = refusal(content)

        assert refused.code == "unsupported_format"
        assert "red-stats[heic]" in refused.detail


def test_avif_is_decoded_without_threads():
    assert pillow.AvifImagePlugin.DEFAULT_MAX_THREADS == 1
