"""The scenarios that are not positions: rivals, months, a zombie, a hole in the end, a small disk."""

from functools import partial

from tests.faults.harness.disks import CannotMount
from tests.faults.sink import tight
from tests.faults.sink.races import HOUR_MS
from tests.faults.sink.sweeps import Line

SKEW = 200 * HOUR_MS


def race(workshop, name, seconds, *, step=1, broken=None, **how):
    """Four rivals of one partition."""
    folder = workshop.folder / f"race-{step}-{broken}-{len(how)}"
    asked = {"do": "race", "race": "rivals", "folder": str(folder), "log": {"step": step}}
    told = workshop.child(
        asked | {"break": broken, "with": {"seconds": seconds, **how}}, seconds=seconds + 60
    )
    line = outcome(name, told, control=bool(broken or how))
    if told.code == 0:
        line.notes.append(
            f"{told.last('batches')} batches, {told.last('won')} won, {told.last('rows')} offsets"
        )
    return line


def zombie(workshop, name):
    """A writer that was away while the whole deduplication window passed."""
    asked = {"do": "race", "race": "zombie", "folder": str(workshop.folder / "zombie")}
    return outcome(name, workshop.child(asked))


def hole(workshop, name):
    """A merged part is broken, an insert fails and the store is opened again under the Recorder."""
    base = workshop.base("30", upto=30)
    calls = workshop.census(base, do="insert")
    at = next(at for at, call in enumerate(calls, 1) if call.startswith("rename"))
    position = workshop.position(base, "once", at, do="hole")
    line = Line(name, 1, not position.verdict.findings, position.verdict.lost, position.verdict.doubled)
    line.notes += position.verdict.findings[:2]
    if position.verdict.fell and not position.verdict.findings:
        line.notes.append(f"{position.verdict.fell} rows were gone at reopen and came again")
    return line


def disk(workshop, name, play):
    """One of `tight`, where mounts are allowed."""
    try:
        verdict, notes = play(workshop)
    except CannotMount as error:
        return Line(name, notes=[f"not run, no mounts here: {error}"], skipped=True)
    return Line(name, 1, not verdict.findings, verdict.lost, verdict.doubled, verdict.findings[:4] + notes)


def outcome(name, told, *, control=False):
    """A child's own verdict as a line."""
    if told.code != 0:
        return Line(name, 1, notes=[f"{told.code}: {told.errors[-200:]}"], control=control)
    findings = told.last("findings")
    said = [told.last("said")] if told.last("said") else []
    return Line(name, 1, not findings, told.last("lost"), told.last("doubled"), findings[:2] + said, control)


def others(workshop, seconds, rounds):
    """All of them, as calls that give a line."""

    def a_race(name, time, **how):
        return partial(race, workshop, name, time, **how)

    return [
        a_race("four rivals, one partition", seconds),
        a_race("four rivals, a month every 720 offsets", seconds, step=HOUR_MS),
        partial(zombie, workshop, "a zombie past the deduplication window"),
        partial(hole, workshop, "a broken merge, then a failing insert"),
        partial(disk, workshop, f"disk full to the last byte, {rounds} times",
                lambda shop: tight.to_the_last_byte(shop, rounds)),
        partial(disk, workshop, "low disk: refused, merges stopped, alarm, resumes", tight.guarded),
        a_race("control: rivals without a token", 3, broken="token"),
        a_race("control: rivals without a read-back", 3, broken="read-back"),
        a_race("control: months by the rivals' own clocks", 5, step=HOUR_MS, skew=SKEW),
    ]  # fmt: skip
