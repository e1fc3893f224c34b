"""Rule red-1: the normative vectors, and all 2^24 colours against a plain reference."""

import numpy as np
import pytest

from red_service.redness.rule import red_mask, tally

#: colour -> red_bp, red_excess_bp, red_channel_bp of a solid image
SOLID = {
    (255, 0, 0): (10000, 10000, 10000),
    (255, 255, 255): (0, 0, 10000),
    (0, 0, 0): (0, 0, 0),
    (128, 128, 128): (0, 0, 5020),
    (64, 0, 0): (10000, 2510, 2510),
    (63, 0, 0): (0, 2471, 2471),
    (128, 0, 0): (10000, 5020, 5020),
    (220, 20, 60): (10000, 6275, 8627),
    (255, 99, 71): (10000, 6118, 10000),
    (255, 69, 0): (0, 7294, 10000),
    (165, 42, 42): (10000, 4824, 6471),
    (139, 69, 19): (0, 2745, 5451),
    (255, 192, 203): (0, 2039, 10000),
    (255, 20, 147): (0, 4235, 10000),
    (255, 165, 0): (0, 3529, 10000),
    (255, 0, 255): (0, 0, 10000),
    (224, 172, 105): (0, 2039, 8784),
    (222, 150, 130): (0, 2824, 8706),
    (255, 63, 0): (10000, 7529, 10000),
    (255, 64, 0): (0, 7490, 10000),
    (255, 0, 94): (10000, 6314, 10000),
    (255, 0, 95): (0, 6275, 10000),
    (255, 101, 101): (10000, 6039, 10000),
    (255, 102, 102): (0, 6000, 10000),
}
RAMP = np.arange(256, dtype=np.uint8)
FULL, NONE = np.full(256, 255, np.uint8), np.zeros(256, np.uint8)


def amounts(r, g, b, alpha=None):
    counted = tally(r, g, b, alpha)
    return counted.red_bp, counted.red_excess_bp, counted.red_channel_bp


@pytest.mark.parametrize(("colour", "expected"), SOLID.items())
def test_a_solid_colour_has_its_normative_amounts(colour, expected):
    planes = [np.full(256, channel, np.uint8) for channel in colour]

    assert amounts(*planes) == expected


@pytest.mark.parametrize(
    ("planes", "expected"),
    [
        ((RAMP, NONE, NONE), (7500, 5000, 5000)),
        ((FULL, RAMP, RAMP), (3984, 5000, 10000)),
        ((FULL, RAMP, NONE), (2500, 5000, 10000)),
        ((FULL, NONE, RAMP), (3711, 5000, 10000)),
    ],
)
def test_a_ramp_has_its_normative_amounts(planes, expected):
    assert amounts(*planes) == expected


def test_a_pixel_is_transparent_below_half_its_alpha():
    alpha = np.repeat(np.array([127, 128], np.uint8), 128)

    assert amounts(FULL, NONE, NONE, alpha)[0] == 5000


@pytest.mark.parametrize(
    ("red", "pixels", "expected"),
    [(1, 20000, 1), (1, 20001, 0), (19999, 20000, 10000), (2, 3, 6667)],
)
def test_a_share_rounds_half_up(red, pixels, expected):
    r = np.zeros(pixels, np.uint8)
    r[:red] = 255

    assert tally(r, np.zeros_like(r), np.zeros_like(r)).red_bp == expected


def test_all_colours_agree_with_a_plain_signed_reference():
    g, b = (plane.reshape(-1) for plane in np.meshgrid(RAMP, RAMP, indexing="ij"))
    wide_g, wide_b = g.astype(np.int32), b.astype(np.int32)
    lower = np.minimum(wide_g, wide_b)
    total = 0
    for value in range(256):
        reference = (
            (value >= 64)
            & (lower <= value // 4 + value // 8 + value // 32)
            & (wide_g <= wide_b + (value - wide_b) // 4)
            & (wide_b <= wide_g + (value - wide_g) // 4 + (value - wide_g) // 8)
        )
        mask = red_mask(np.full_like(g, value), g, b)

        assert np.array_equal(mask, reference), value
        total += int(mask.sum())

    assert total == 1_105_518
