"""A colour that a PNG says is transparent is compared in the depth in which it is stored."""

import struct

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from red_service.decoding.image import measure
from tests.red_service import builders as b
from tests.red_service.decoding.verdicts import case, verdict

LEVELS = st.sampled_from((0x0000, 0x00FF, 0xFF00, 0xFFFF, 0xFFFE))
COLOURS = st.tuples(LEVELS, LEVELS, LEVELS)


def of_16_bits(colours, key):
    row = b"\0" + b"".join(struct.pack(">HHH", *colour) for colour in colours)
    return b.png(len(colours), 1, row, depth=16, before=b.chunk(b"tRNS", struct.pack(">HHH", *key)))


def test_a_key_that_no_pixel_has_makes_nothing_transparent():
    found = measure(case("rgb16_opaque_red_key_is_0x00ff.png"))

    assert (found.red_pixels, found.pixels) == (10, 10)


@given(st.lists(COLOURS, min_size=1, max_size=20), COLOURS)
def test_exactly_the_pixels_with_the_16_bits_of_the_key_are_transparent(colours, key):
    pixels = np.array([[[*(level >> 8 for level in colour), 255 * (colour != key)] for colour in colours]])
    as_rgba = b.encoded(b.pixels(pixels))

    assert verdict(of_16_bits(colours, key)) == verdict(as_rgba)


def test_a_large_image_compares_16_bits_too():
    red, other = (0xFFFF, 0, 0), (0xFF01, 0, 0)
    found = measure(of_16_bits([red, other] * 5000, other))

    assert found.red_bp == 5000


def test_a_png_of_more_chunks_than_anyone_writes_is_refused_before_it_is_decoded():
    for chunk in (b.chunk(b"tEXt", b""), b.chunk(b"IDAT", b"")):
        assert verdict(b.a_solid_png_with(chunk * 200_000)) == "image_too_complex"

    assert isinstance(verdict(b.a_solid_png_with(b.chunk(b"tEXt", b"") * 50_000)), dict)


def test_a_key_of_16_bit_grey_changes_nothing_because_grey_is_never_red():
    row = b"\0" + b"\x80\xff" * 4
    with_key = b.png(4, 4, row * 4, depth=16, colour=0, before=b.chunk(b"tRNS", b"\x80\xff"))

    assert verdict(with_key) == verdict(b.png(4, 4, row * 4, depth=16, colour=0))


def test_a_key_of_8_bits_is_compared_as_before():
    keyed = b.encoded(b.solid(), transparency=b.RED)

    assert measure(keyed).red_pixels == 0
    assert measure(b.encoded(b.solid(), transparency=(255, 0, 1))).red_pixels == 256
