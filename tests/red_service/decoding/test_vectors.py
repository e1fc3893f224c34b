"""The published pictures: whole files measure as the rule's test vectors say, and tallies add up."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from red_service.decoding.image import measure
from red_service.redness.rule import tally
from tests.red_service.builders import BLACK, RED, WHITE, encoded, pixels, png, solid


def amounts(content: bytes) -> tuple[int, int, int]:
    found = measure(content)
    return found.red_bp, found.red_excess_bp, found.red_channel_bp


def cube(step: int) -> np.ndarray:
    levels = np.arange(0, 256, step, dtype=np.uint8)
    return np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 3)


def linear_congruential(count: int) -> bytes:
    state, out = 12345, bytearray()
    for _ in range(count):
        state = (state * 1103515245 + 12345) % (1 << 31)
        out.append(state >> 16 & 255)
    return bytes(out)


def test_one_red_pixel_of_three_is_3333():
    assert amounts(encoded(pixels([[RED, WHITE, BLACK]]))) == (3333, 3333, 6667)


def test_a_small_red_logo_on_white_is_its_share():
    page = solid(WHITE, (200, 100))
    page.paste(RED, (5, 5, 25, 25))

    assert amounts(encoded(page)) == (200, 200, 10000)


def test_37_red_columns_of_100_are_3700():
    page = solid(WHITE, (100, 100))
    page.paste(RED, (0, 0, 37, 100))

    assert amounts(encoded(page)) == (3700, 3700, 10000)


def test_the_coarse_colour_cube_has_289_red_pixels():
    content = encoded(Image.fromarray(cube(17).reshape(64, 64, 3)))

    assert measure(content).red_pixels == 289
    assert amounts(content) == (706, 885, 5000)


def test_the_fine_colour_cube_has_9423_red_pixels():
    content = encoded(Image.fromarray(cube(5).reshape(52, 52 * 52, 3)))

    assert measure(content).red_pixels == 9423
    assert amounts(content) == (670, 849, 5000)


def test_published_noise_has_246_red_pixels():
    content = encoded(Image.frombytes("RGB", (64, 64), linear_congruential(64 * 64 * 3)))

    assert measure(content).red_pixels == 246
    assert amounts(content) == (601, 834, 5002)


def test_red_in_jpeg_and_webp_measures_as_decoded():
    square = solid(RED, (64, 64))

    assert amounts(encoded(square, "JPEG", quality=75)) == (10000, 9961, 9961)
    assert amounts(encoded(square, "WEBP", quality=80)) == (10000, 9958, 10000)


def test_cmyk_red_is_red():
    content = encoded(solid((0, 255, 255, 0), mode="CMYK"), "JPEG", quality=95)

    assert measure(content).red_bp == 10000


def test_16_bit_rgb_red_is_red():
    row = b"\0" + b"\xff\xff\0\0\0\0" * 4

    assert amounts(png(4, 4, row * 4, depth=16)) == (10000, 10000, 10000)


def test_half_transparent_is_the_edge_of_what_counts():
    half = solid((255, 0, 0, 127), (16, 16), "RGBA")
    half.paste((255, 0, 0, 128), (0, 0, 8, 16))

    assert amounts(encoded(half)) == (5000, 5000, 10000)


def test_a_transparent_colour_is_not_red():
    assert measure(encoded(solid(), transparency=RED)).red_bp == 0


def test_a_transparent_index_is_not_red():
    palette = solid().quantize(4)
    content = encoded(palette, "GIF", transparency=palette.getpixel((0, 0)))

    assert measure(content).red_bp == 0
    assert measure(encoded(palette, "GIF")).red_bp == 10000


def test_grey_is_never_red_and_its_mean_is_the_channel():
    grey = solid(128, mode="L")

    assert amounts(encoded(grey)) == (0, 0, 5020)
    assert amounts(encoded(grey, "JPEG")) == (0, 0, 5020)
    assert amounts(encoded(grey.convert("LA"))) == (0, 0, 5020)
    assert amounts(encoded(solid(1, mode="1"))) == (0, 0, 10000)


def test_16_bit_grey_loses_its_low_byte():
    row = b"\0" + b"\x80\xff" * 4

    assert amounts(png(4, 4, row * 4, depth=16, colour=0)) == (0, 0, 5020)


@given(st.binary(min_size=3, max_size=300), st.randoms(use_true_random=False))
def test_the_order_of_pixels_does_not_matter(content, chance):
    colours = [tuple(content[i : i + 3]) for i in range(0, len(content) - 2, 3)]
    shuffled = chance.sample(colours, len(colours))

    def counted(rows):
        return tally(*np.array(rows, dtype=np.uint8).T)

    assert counted(colours) == counted(shuffled)


@given(st.binary(min_size=6, max_size=300), st.data())
def test_parts_add_up_to_the_whole(content, data):
    colours = np.frombuffer(content[: len(content) // 3 * 3], dtype=np.uint8).reshape(-1, 3)
    cut = data.draw(st.integers(1, len(colours) - 1))

    assert tally(*colours[:cut].T) + tally(*colours[cut:].T) == tally(*colours.T)


def test_a_big_image_measures_as_one_strip_of_all_its_pixels():
    whole = np.random.default_rng(7).integers(0, 256, (700, 1000, 3), dtype=np.uint8)
    expected = tally(*np.moveaxis(whole, -1, 0))
    found = measure(encoded(Image.fromarray(whole), compress_level=1))

    assert found.red_pixels == expected.red_pixels
    assert found.red_excess_bp == expected.red_excess_bp
    assert (found.width, found.height, found.pixels) == (1000, 700, 700_000)
