"""The oracle: what the table must be, judged from plain rows with no code of the product."""

from bisect import bisect_left, bisect_right
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise

TOLD = 3  # of the breaks in a chain
ROWS = (
    "SELECT kafka_offset, client_id, red_bp, batch_first, batch_rows FROM red.measurements"
    " WHERE kafka_partition = {p:UInt16} ORDER BY kafka_offset"
)


@dataclass
class Verdict:
    """How far a table is from its log; `fell` are acknowledged rows that a reopen did not show."""

    lost: int = 0
    doubled: int = 0
    fell: int = 0
    findings: list = field(default_factory=list)


def judged(table, wanted):
    """Every readable offset exactly once with its amount, and a chain of markers beside them."""
    good = [row for row in table if row[1] != ""]
    times = Counter(row[0] for row in good)
    found = Verdict(
        lost=len(set(wanted) - set(times)), doubled=sum(count - 1 for count in times.values())
    )  # fmt: skip
    if found.lost:
        found.findings.append(f"lost {sorted(set(wanted) - set(times))[:8]}")
    if found.doubled:
        found.findings.append(f"doubled {[offset for offset, count in times.items() if count > 1][:8]}")
    if set(times) - set(wanted):
        found.findings.append(f"never in the log: {sorted(set(times) - set(wanted))[:8]}")
    wrong = [row[0] for row in good if row[0] in wanted and (row[1], row[2]) != wanted[row[0]]]
    if wrong:
        found.findings.append(f"other amounts at {wrong[:8]}")
    broken = list(chain([(row[3], row[0], row[4]) for row in table if row[1] == ""], sorted(times)))
    found.findings += broken[:TOLD] + [f"{len(broken) - TOLD} more in the chain"] * (len(broken) > TOLD)
    return found


def chain(markers, offsets):
    """Each batch begins where the one before it ended, and has as many rows as its marker says."""
    markers = sorted(markers)
    for (_, last, _), (first, _, _) in pairwise(markers):
        if first != last + 1:
            yield f"{'hole' if first > last + 1 else 'overlap'} of markers at {last + 1}, next is {first}"
    for first, last, said in markers:
        count = bisect_right(offsets, last) - bisect_left(offsets, first)
        if count != said:
            yield f"batch {first} to {last} says {said} rows, has {count}"


def kept(table, wanted, acknowledged):
    """Rows acknowledged before the fault and not there when the store is opened again."""
    offsets = {row[0] for row in table if row[1] != ""}
    return len({offset for offset in wanted if offset <= acknowledged} - offsets)
