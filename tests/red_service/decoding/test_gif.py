"""What the first frame of a GIF does not cover is transparent."""

import struct

import pytest

from red_service.decoding.image import measure
from tests.red_service.decoding.verdicts import case, verdict

BLUE, RED = (0, 0, 255), (255, 0, 0)


def gif(frame, canvas=(20, 10), *, background=0, palette=(RED, BLUE), local=False, transparent=None, pixel=1):
    """A GIF whose first frame, at (left, top, width, height), has pixels of one index."""
    colours = bytes(sum(palette, ()))
    start = b"GIF89a" + struct.pack("<HH", *canvas) + bytes((0 if local else 0x80, background, 0))
    control = b"" if transparent is None else b"\x21\xf9\4\1\0\0" + bytes((transparent, 0))
    image = b"\x2c" + struct.pack("<HHHH", *frame) + bytes((0x80 if local else 0,))
    body = image + (colours if local else b"") + b"\2" + lzw(frame[2] * frame[3], pixel) + b"\0;"
    return start + (b"" if local else colours) + control + body


def lzw(count, index):
    """Blocks of codes of 3 bits: the table is cleared before it grows."""
    codes = [code for _ in range(count) for code in (4, index)] + [5]
    bits = sum(code << (3 * place) for place, code in enumerate(codes))
    packed = bits.to_bytes(-(-3 * len(codes) // 8), "little")
    blocks = [packed[at : at + 255] for at in range(0, len(packed), 255)]
    return b"".join(bytes((len(block),)) + block for block in blocks)


@pytest.mark.parametrize("background", [0, 1])
@pytest.mark.parametrize("local", [False, True])
@pytest.mark.parametrize("transparent", [None, 0])
def test_what_the_first_frame_does_not_cover_is_not_red(background, local, transparent):
    content = gif((5, 2, 4, 3), background=background, local=local, transparent=transparent)

    found = measure(content)

    assert (found.width, found.height, found.pixels, found.red_pixels) == (20, 10, 200, 0)
    assert (found.red_excess_bp, found.red_channel_bp) == (0, 0)


def test_what_the_first_frame_covers_counts():
    found = measure(gif((5, 2, 4, 3), pixel=0))

    assert (found.red_pixels, found.pixels) == (12, 200)
    assert measure(gif((0, 0, 20, 10), pixel=0)).red_bp == 10_000


def test_a_background_that_is_red_is_not_seen():
    assert measure(case("gif_uncovered_bg1_white_pal0_red.gif")).red_pixels == 0


def test_a_frame_without_pixels_is_corrupt():
    assert verdict(gif((5, 2, 0, 0))) == "image_corrupt"
