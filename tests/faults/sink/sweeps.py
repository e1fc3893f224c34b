"""What is stopped at every one of its calls, and the controls that must turn red at some."""

import re
from concurrent.futures import Executor
from dataclasses import dataclass, field

from tests.faults.sink.child import BASE

TOLD = 3  # findings of a line that are told in full


GAP = r"^rename .*/[0-9]{6}(_[0-9]+)+/$"  # the token is written, the part is not there yet
FOLDER = r"^open .*/[0-9]{6}(_[0-9]+)+/$|^open .*/[0-9a-f-]{36}$"  # to be synced, after the rename


@dataclass(frozen=True)
class Sweep:
    """One operation and one fault; `upto` is what the table holds before, None is no store at all."""

    name: str
    do: str
    mode: str
    upto: int | None = BASE
    extra: tuple = ()
    broken: str | None = None
    only: str = ""
    may_fall: bool = False  # acknowledged rows may be gone after a reopen, if they come again
    known: str = ""  # why it is red

    @property
    def asked(self):
        return {"do": self.do, **dict(self.extra), **({"break": self.broken} if self.broken else {})}

    def base(self, workshop):
        if self.upto is None:
            return workshop.empty()
        return workshop.base(f"{self.upto}", upto=self.upto)

    def wanted(self, calls):
        """The calls to stop at, counted from 1; the one after the last is after the last."""
        found = [at for at, call in enumerate(calls, 1) if re.search(self.only, call)]
        return [*found, len(calls) + 1] if self.mode == "kill" and not self.only else found

    def judged(self, position):
        """Findings of one position."""
        found = list(position.verdict.findings)
        if position.verdict.fell and not self.may_fall:
            found.append(f"{position.verdict.fell} acknowledged rows gone at reopen")
        return found


@dataclass
class Line:
    """A row of the report."""

    name: str
    tried: int = 0
    exact: int = 0
    lost: int = 0
    doubled: int = 0
    notes: list = field(default_factory=list)
    control: bool = False
    skipped: bool = False
    known: str = ""

    @property
    def passed(self):
        """A control passes when it is not exact, what is known to be red as it is."""
        return self.skipped or bool(self.known) or (self.exact < self.tried) == self.control


def swept(workshop, sweep, pool: Executor):
    """Every call of it."""
    base = sweep.base(workshop)
    calls = workshop.census(base, **sweep.asked)
    line = Line(sweep.name, control=sweep.broken is not None, known=sweep.known)
    play = [pool.submit(workshop.position, base, sweep.mode, at, **sweep.asked) for at in sweep.wanted(calls)]
    fell = 0
    for future in play:
        position = future.result()
        add(line, position, sweep.judged(position))
        fell += position.verdict.fell > 0
    if fell:
        line.notes.append(
            f"at {fell} acknowledged rows were gone at reopen" + " and came again" * sweep.may_fall
        )
    return line


def add(line, position, findings):
    """One position more."""
    line.tried += 1
    line.exact += not findings
    line.lost += position.verdict.lost or 0
    line.doubled += position.verdict.doubled or 0
    if findings and line.tried - line.exact <= TOLD:
        line.notes.append(f"{short(position.call)} ({position.at}): {findings[0]}")


def short(call):
    """`write count.txt` instead of the whole path; a part's folder as `<part>`."""
    if not call:
        return "after the last call"
    name, _, path = call.partition(" ")
    last = path.rstrip("/").rpartition("/")[2]
    return f"{name} {re.sub(r'^[0-9]{6}(_[0-9]+)+$|^[0-9a-f-]{36}$', '<folder>', last)}"


PLAIN = [
    Sweep("insert: kill before each call", "insert", "kill"),
    Sweep("insert: kill after half of each write", "insert", "half", only="^p?write "),
    Sweep("insert: each call fails once (ENOSPC), acknowledged, kill", "insert", "once"),
    Sweep("the same, one more batch, kill", "insert", "once", extra=(("more", True),)),
    Sweep("insert: all fail from each call on, until 4 attempts failed", "insert", "on"),
    Sweep(
        "insert: the ends of a part fail once while others read", "insert", "once",
        extra=(("readers", 3),), only=f"{GAP}|{FOLDER}|^write .*data",
    ),
    Sweep("first insert: kill before each call", "insert", "kill", upto=0),
    Sweep("first insert: each call fails once", "insert", "once", upto=0),
    Sweep("first insert: all fail from each call on", "insert", "on", upto=0),
    Sweep("merge: kill before each call", "merge", "kill"),
    Sweep("merge: each call fails once, kill", "merge", "once", may_fall=True),
    Sweep("merge: each call fails once, sources deleted, kill", "merge", "once", extra=(("linger", 3),),
          may_fall=True),
    Sweep("merge: all fail from each call on, an insert, kill", "merge", "on", extra=(("more", True),),
          may_fall=True),
    Sweep("no store yet: kill before each call", "create", "kill", upto=None),
    Sweep("no store yet: each call fails once", "create", "once", upto=None,
          known="chDB goes on after a failed write, the new store does not open"),
]  # fmt: skip
CONTROLS = [
    Sweep("control: no read-back, kill", "insert", "kill", broken="read-back", only="^rename"),
    Sweep("control: no read-back, ENOSPC", "insert", "once", broken="read-back", only="^rename|^write"),
    Sweep("control: no token, ENOSPC", "insert", "once", broken="token", only=FOLDER),
    Sweep("control: no look at the part, ENOSPC", "insert", "once", broken="part", only="^write"),
    Sweep("control: one token for ever, kill", "insert", "kill", broken="bump", only="^rename|^write .*log"),
]
