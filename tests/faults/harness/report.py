"""The table of a run, on the terminal and between two markers of docs/reliability.md."""

import platform
import re
import statistics
from datetime import UTC, datetime
from pathlib import Path

import psutil

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reliability.md"
BEGIN, END = "<!-- faults: begin -->", "<!-- faults: end -->"
MARKED = re.compile(re.escape(BEGIN) + r".*" + re.escape(END), re.DOTALL)
HEAD = (
    "| scenario | times | images | lost | doubled | alerts | POSTs again"
    " | recovery s (median / max) | verdict |\n"
    "|---|--:|--:|--:|--:|--:|--:|--:|---|"
)


def line(result):
    """One result as a row."""
    if result.skipped:
        return f"| {result.name} | 0 | | | | | | | not run: {result.skipped} |"
    if result.verdict is None or not isinstance(result.verdict.lost, int):
        known = f", known: {result.known}" if result.known else ""
        return f"| {result.name} | {result.times} | | | | | | | **stands still**{known} |"
    verdict = result.verdict
    seconds = result.recoveries
    recovery = f"{statistics.median(seconds):.1f} / {max(seconds):.1f}" if seconds else ""
    word = {
        (False, False): "equal",
        (False, True): "**RED**",
        (True, True): "turned red, as it must",
        (True, False): "**did not turn red**",
    }[result.control, bool(verdict.findings)]
    if result.known and verdict.findings:
        word = f"**RED**, known: {result.known}"
    return (
        f"| {result.name} | {result.times} | {verdict.events} | {verdict.lost} | {verdict.doubled}"
        f" | {verdict.alerts} | {verdict.again} | {recovery} | {word} |"
    )


def table(results, command, seed):
    """Everything a reader needs to judge it."""
    return "\n".join([f"{told()}, by `{command}`, seed {seed}.", "", HEAD, *(line(one) for one in results)])


def told():
    """When and where."""
    cores, memory = psutil.cpu_count(), psutil.virtual_memory().total >> 30
    when = datetime.now(UTC).strftime("%Y-%m-%d")
    return f"Run on {when}, {cores} cores, {memory} GiB, {platform.system()} {platform.release()}"


def written(text):
    """Put a whole table between the markers of the page."""
    page = PAGE.read_text()
    assert MARKED.search(page), f"{PAGE} has no markers"
    PAGE.write_text(MARKED.sub(lambda _: f"{BEGIN}\n{text}\n{END}", page))


def replaced(results, command, seed):
    """Put single rows into the table that is there, and say so below it."""
    page = PAGE.read_text()
    for result in results:
        row = re.compile(rf"^\| {re.escape(result.name)} \|.*$", re.MULTILINE)
        page = row.sub(lambda _, result=result: line(result), page)
    again = ", ".join(result.name for result in results)
    note = f"\nAgain: {again}. {told()}, by `{command}`, seed {seed}.\n"
    PAGE.write_text(page.replace(END, note + END))
