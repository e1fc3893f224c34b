"""The table of a run, on the terminal and between two markers of docs/reliability.md."""

import platform
import re
from datetime import UTC, datetime
from pathlib import Path

import psutil

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reliability.md"
BEGIN, END = "<!-- sink: begin -->", "<!-- sink: end -->"
HEAD = (
    "| scenario | positions | exact | rows lost | rows doubled | verdict | notes |\n"
    "|---|--:|--:|--:|--:|---|---|"
)


def row(line):
    """One line of it."""
    word = {
        (True, False): "exact",
        (False, False): "**RED**",
        (True, True): "turned red, as it must",
        (False, True): "**did not turn red**",
    }[line.passed, line.control]
    if line.known and line.exact < line.tried:
        word = f"**RED**, known: {line.known}"
    notes = re.sub(r"\s+", " ", "; ".join(line.notes)).replace("|", "/")[:400]
    verdict = "not run" if line.skipped else word
    numbers = f"{line.tried} | {int(line.exact)} | {line.lost} | {line.doubled}"
    return f"| {line.name} | {numbers} | {verdict} | {notes} |"


def table(lines, command):
    """Everything a reader needs to judge it."""
    cores, memory = psutil.cpu_count(), psutil.virtual_memory().total >> 30
    when = datetime.now(UTC).strftime("%Y-%m-%d")
    machine = f"{cores} cores, {memory} GiB, {platform.system()} {platform.release()}"
    return "\n".join([f"Run on {when}, {machine}, by `{command}`.", "", HEAD, *map(row, lines)])


def written(text):
    """Put the table between the markers of the page; whether it has them."""
    page = PAGE.read_text() if PAGE.exists() else ""
    between = re.compile(re.escape(BEGIN) + r".*" + re.escape(END), re.DOTALL)
    if not between.search(page):
        return False
    PAGE.write_text(between.sub(lambda _: f"{BEGIN}\n{text}\n{END}", page))
    return True
