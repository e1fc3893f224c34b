"""The page on red says what the rule gives today."""

import subprocess
import sys

from tests.system.up import ROOT


def test_the_figures_of_the_page_are_those_of_the_script():
    script = (
        "import runpy; made = runpy.run_path('docs/images/make.py'); print(*made['figures'](), sep='\\n')"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)

    page = (ROOT / "docs/red.md").read_text()
    figures = done.stdout.splitlines()
    assert len(figures) == 6, done.stderr
    assert [line for line in figures if line not in page] == []


def test_every_picture_a_page_shows_is_there():
    for page in (ROOT / "docs").glob("*.md"):
        for part in page.read_text().split("](")[1:]:
            target = part.partition(")")[0]
            assert "://" in target or (page.parent / target.partition("#")[0]).exists(), (page, target)
