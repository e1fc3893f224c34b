"""What `red-stats doctor` says of a machine."""

import pytest

from red_stats.local.doctor import open_files_of


@pytest.mark.parametrize(
    ("limit", "good", "low"), [(512, False, True), (1024, True, True), (65536, True, False)]
)
def test_the_limit_of_open_files_is_told_and_a_low_one_with_what_to_do(limit, good, low):
    is_enough, found = open_files_of(limit)

    assert (is_enough, "low, raise the hard limit" in found) == (good, low)
    assert found.startswith(f"{limit} in each process, ")
