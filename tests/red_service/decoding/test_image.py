"""Whole files of every format give the normative amounts; anything else is rejected with a reason."""

import io

import numpy as np
import pytest
from PIL import Image

from red_service.decoding.image import measure
from red_service.problems import Rejected

RED = (255, 0, 0)


def a_file(image, format="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def solid(colour, mode="RGB", size=(64, 64)):
    return Image.new(mode, size, colour)


def two_alphas():
    pixels = np.zeros((16, 16, 4), np.uint8)
    pixels[..., 0] = 255
    pixels[:8, :, 3], pixels[8:, :, 3] = 127, 128
    return Image.fromarray(pixels)


def grey_16():
    return Image.fromarray(np.full((16, 16), 0x8080, np.uint16))


@pytest.mark.parametrize(
    ("content", "format", "expected"),
    [
        (a_file(solid(RED)), "png", (10000, 10000, 10000)),
        (a_file(solid(RED), "JPEG", quality=75), "jpeg", (10000, 9961, 9961)),
        (a_file(solid(RED), "WEBP", quality=80), "webp", (10000, 9958, 10000)),
        (a_file(solid((0, 255, 255, 0), "CMYK"), "JPEG"), "jpeg", None),
        (a_file(two_alphas()), "png", (5000, 4980, 10000)),
        (a_file(solid(RED), transparency=RED), "png", (0, 0, 10000)),
        (a_file(solid(0x80, "L")), "png", (0, 0, 5020)),
        (a_file(grey_16()), "png", (0, 0, 5020)),
    ],
)
def test_a_file_has_its_normative_amounts(content, format, expected):
    measured = measure(content)

    assert measured.format == format
    if expected is None:  # the vector of the CMYK file fixes the first amount only
        assert measured.red_bp == 10000
        return
    red_bp, excess, channel = expected
    assert (measured.red_bp, measured.red_channel_bp) == (red_bp, channel)
    if red_bp != 5000:
        assert measured.red_excess_bp == excess


def test_the_first_frame_of_an_animation_counts():
    frames = [solid(RED), solid((0, 0, 255))]
    content = a_file(frames[0], "GIF", save_all=True, append_images=frames[1:])

    assert measure(content).red_bp == 10000


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "image_empty"),
        (b"\xff", "unsupported_format"),
        (b"<svg/>", "unsupported_format"),
        (a_file(solid(RED), "BMP"), "unsupported_format"),
        (a_file(solid(RED), "JPEG")[:-40], "image_truncated"),
        (a_file(Image.new("1", (50000, 1))), "image_dimension"),
        (a_file(Image.new("1", (10000, 5000))), "image_too_many_pixels"),
    ],
)
def test_what_cannot_be_measured_says_why(content, code):
    with pytest.raises(Rejected) as caught:
        measure(content)

    assert caught.value.code == code
