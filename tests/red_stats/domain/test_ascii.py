"""Digits of other scripts are no numbers, wherever a number is written."""

import pytest

from red_common import failpoints
from red_stats.domain.retries import parse_schedule
from red_stats.local.image_sender import _seconds

ODD = ["１２", "١٢", "१२", "1_2", "²"]


@pytest.mark.parametrize("text", ODD)
def test_digits_of_other_scripts_are_no_numbers(text):
    with pytest.raises(ValueError, match="numbers"):
        parse_schedule(f"1,{text}")
    with pytest.raises(ValueError, match="number"):
        failpoints.parse(f"live.before-transaction#{text}")
    assert _seconds(text) == 0
    assert (_seconds("12"), parse_schedule("5, 0.5,1e1")) == (12, (5, 0.5, 10))


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "1e9"])
def test_a_schedule_has_seconds_of_at_most_a_year(text):
    with pytest.raises(ValueError, match="seconds"):
        parse_schedule(text)
