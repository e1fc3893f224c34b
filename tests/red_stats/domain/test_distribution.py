"""Bins and quantiles of amounts, beside their definitions."""

from collections import Counter
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from red_stats.domain.distribution import HIGHEST, Distribution

REDS = st.lists(st.integers(0, HIGHEST) | st.sampled_from([0, 99, 100, 9899, 9900, 9999, HIGHEST]))
DIVISORS = [number for number in range(1, HIGHEST + 1) if HIGHEST % number == 0]


def amounts(reds):
    return Distribution(sorted(Counter(reds).items()))


@given(REDS, st.sampled_from(DIVISORS))
def test_each_image_is_in_the_bin_of_its_amount_and_the_last_bin_includes_all_of_it(reds, number):
    bins = amounts(reds).bins(number)

    width = Fraction(HIGHEST, number)
    for place, count in enumerate(bins):
        low, high = place * width, (place + 1) * width
        assert count == sum(low <= red < high or (red == HIGHEST == high) for red in reds)


@given(REDS.filter(bool), st.fractions(0, 1, max_denominator=1000))
def test_a_quantile_is_the_smallest_amount_that_at_least_its_share_of_the_images_do_not_exceed(reds, share):
    found = amounts(reds).quantile(share)

    assert sum(red <= found for red in reds) >= share * len(reds)
    assert found in reds
    assert not any(sum(red <= less for red in reds) >= share * len(reds) for less in reds if less < found)


@given(REDS.filter(bool))
def test_quantile_0_is_the_least_and_1_the_most(reds):
    made = amounts(reds)
    assert (made.quantile(Fraction(0)), made.quantile(Fraction(1))) == (min(reds), max(reds))
    assert (made.least, made.most, made.total, made.images) == (min(reds), max(reds), sum(reds), len(reds))


def test_without_images_there_is_no_quantile():
    none = amounts([])
    assert (none.images, none.total, none.least, none.most, none.quantile(Fraction(1, 2))) == (
        0,
        0,
        None,
        None,
        None,
    )
    assert none.bins(4) == [0, 0, 0, 0]
