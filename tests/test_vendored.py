"""What others have made and we ship is what the page beside it says."""

import hashlib
import re

import pytest

from tests.system.up import ROOT

PAGES = sorted(
    path for room in ("red_common", "red_stats", "tests") for path in (ROOT / room).rglob("VENDOR.md")
)
ROW = re.compile(r"^\| (\S+) \| ([0-9a-f]{64}) \|$", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.parent.relative_to(ROOT)))
def test_vendored_files_are_those_whose_hashes_are_told(page):
    told = dict(ROW.findall(page.read_text()))
    assert told
    found = {name: hashlib.sha256((page.parent / name).read_bytes()).hexdigest() for name in told}
    assert found == told
    assert (page.parent / "LICENSE").exists()
