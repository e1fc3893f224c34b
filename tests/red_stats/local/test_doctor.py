"""What `red-stats doctor` says of a machine."""

import re

import pytest

from red_stats.local.doctor import examine, open_files_of
from red_stats.settings import Settings


@pytest.mark.parametrize(
    ("limit", "good", "low"), [(512, False, True), (1024, True, True), (65536, True, False)]
)
def test_the_limit_of_open_files_is_told_and_a_low_one_with_what_to_do(limit, good, low):
    is_enough, found = open_files_of(limit)

    assert (is_enough, "low, raise the hard limit" in found) == (good, low)
    assert found.startswith(f"{limit} in each process, ")


@pytest.mark.system
def test_the_fences_of_decoders_are_told(tmp_path):
    (decoders,) = [one for one in examine(Settings(data=tmp_path)) if one.what == "decoders"]

    assert decoders.good
    assert re.search("; fenced by (Landlock|seccomp|nothing)", decoders.found)
