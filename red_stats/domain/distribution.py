"""How the amounts of red of many images are spread: bins and quantiles, from counts by amount. Pure."""

import math
from bisect import bisect_left
from collections.abc import Sequence
from fractions import Fraction
from itertools import accumulate

from red_stats.domain.triggers import HIGHEST


class Distribution:
    """Distinct amounts (bp), ascending, each with the number of images that have it (at least 1)."""

    def __init__(self, amounts: Sequence[tuple[int, int]]) -> None:
        self._amounts = amounts
        self._upto = list(accumulate(images for _, images in amounts))

    @property
    def images(self) -> int:
        """All images."""
        return self._upto[-1] if self._upto else 0

    @property
    def least(self) -> int | None:
        """The smallest amount (bp); None: no images."""
        return self._amounts[0][0] if self._amounts else None

    @property
    def most(self) -> int | None:
        """The largest amount (bp); None: no images."""
        return self._amounts[-1][0] if self._amounts else None

    @property
    def total(self) -> int:
        """The sum of the amounts of all images (bp)."""
        return sum(red * images for red, images in self._amounts)

    def bins(self, number: int) -> list[int]:
        """Images in each of `number` bins of equal width, which divides 10,000; the last includes 1.0."""
        width = HIGHEST // number
        counts = [0] * number
        for red, images in self._amounts:
            counts[min(red // width, number - 1)] += images
        return counts

    def quantile(self, share: Fraction) -> int | None:
        """The smallest amount (bp) that at least this share (0..1) of the images do not exceed.

        That of 0 is the smallest amount of all; None: no images.
        """
        if not self._upto:
            return None
        return self._amounts[bisect_left(self._upto, max(1, math.ceil(share * self.images)))][0]
