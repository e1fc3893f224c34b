"""Rule red-1: what counts as a red pixel, and the three amounts computed from the counts.

All arithmetic is on integers, on planes of uint8, so every machine gives the same numbers. The rule was
chosen against the colour names of the xkcd survey (docs/red.md). It is normative and is never edited:
another rule gets another name.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

RULE: Final = "red-1"
STRIP_PIXELS: Final = 131_072  # 128 Ki: the planes of a strip fit the second-level cache

Plane = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Tally:
    """Sums over pixels; tallies of disjoint parts of an image add up to the tally of the image.

    Attributes:
        pixels: all pixels, transparent ones included.
        red_pixels: opaque pixels that look red.
        excess: sum of max(0, R - max(G, B)) over opaque pixels, 0..255 each.
        red_sum: sum of R over all pixels, 0..255 each.
    """

    pixels: int = 0
    red_pixels: int = 0
    excess: int = 0
    red_sum: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.pixels + other.pixels,
            self.red_pixels + other.red_pixels,
            self.excess + other.excess,
            self.red_sum + other.red_sum,
        )

    @property
    def red_bp(self) -> int:
        """Share of red pixels, in basis points, 0..10000."""
        return _basis_points(self.red_pixels, self.pixels)

    @property
    def red_excess_bp(self) -> int:
        """Mean of how far R is above the other channels, in basis points of 255, 0..10000."""
        return _basis_points(self.excess, 255 * self.pixels)

    @property
    def red_channel_bp(self) -> int:
        """Mean of the R channel, in basis points of 255, 0..10000."""
        return _basis_points(self.red_sum, 255 * self.pixels)


def _basis_points(part: int, whole: int) -> int:
    """`part / whole` in 0..10000, half rounded up; `whole` at least 1."""
    return (20000 * part + whole) // (2 * whole)


def red_mask(r: Plane, g: Plane, b: Plane) -> NDArray[np.bool_]:
    """Which pixels look red, if opaque: a boolean for each, in the shape that the three planes share.

    The differences wrap where R < B or R < G, but another clause always rejects such a pixel (the tests
    show it for all 2^24 colours), so nothing wider than uint8 is needed.
    """
    above_b, above_g = r - b, r - g
    red: NDArray[np.bool_] = r >= 64
    red &= np.minimum(g, b) <= (r >> 2) + (r >> 3) + (r >> 5)  # saturation at least about 0.6
    red &= g <= b + (above_b >> 2)  # at most 15 degrees towards orange
    red &= b <= g + (above_g >> 2) + (above_g >> 3)  # at most about 22.5 degrees towards pink
    return red


def tally(r: Plane, g: Plane, b: Plane, alpha: Plane | None = None) -> Tally:
    """Counts one strip, given as planes of one shape, at most 2^24 pixels; alpha below 128 is transparent."""
    red = red_mask(r, g, b)
    highest = np.maximum(g, b)
    excess = np.maximum(r, highest) - highest
    if alpha is not None:
        opaque = alpha >= 128
        red &= opaque
        excess *= opaque
    return Tally(r.size, int(np.count_nonzero(red)), _sum(excess), _sum(r))


def tally_pixels(pixels: bytes | bytearray | memoryview, channels: int) -> Tally:
    """Counts interleaved pixels of 3 (RGB) or 4 (RGBA) channels, 8 bits each; at most 2^24 of them."""
    planes = np.frombuffer(pixels, dtype=np.uint8).reshape(-1, channels).T
    return tally(*map(np.ascontiguousarray, planes))


def tally_grey(grey: Plane) -> Tally:
    """Counts one strip of grey pixels: nothing in it is red, whatever its transparency."""
    return Tally(pixels=grey.size, red_sum=_sum(grey))


def _sum(values: Plane) -> int:
    # 2^24 * 255 fits in 32 bits, and adding in 32 bits is faster than numpy's default of 64.
    return int(values.sum(dtype=np.uint32))
