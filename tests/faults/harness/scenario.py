"""The register of scenarios: a name, the system it needs, and one occurrence of its fault."""

import importlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from tests.faults.harness.run import under_load

ROOMS = (
    "kills", "zombies", "kafka", "stores", "networks", "scaling", "clocks", "poison", "commands",
    "crashes", "controls",
)  # fmt: skip

ONE = {"all-1": "all"}
ROLES = {
    "live-1": "live",
    "live-2": "live",
    "deliver-1": "deliver",
    "deliver-2": "deliver",
    "record-1": "record",
}


@dataclass(frozen=True)
class Scenario:
    """`fault(run)` is one occurrence and returns the moment (monotonic) at which it was over.

    `system` names what it runs on: "up", or a shape of separate processes; `disks` are small ones.
    A control is a rule broken on purpose: it has passed when the oracle turned red. `known` says why
    a scenario is red for now: it is shown, and fails nothing.
    """

    name: str
    fault: Callable[[Any], Awaitable[float]]
    system: Any
    times: int
    short: int
    load: dict[str, float]
    disks: dict[str, int]
    workers: dict[str, Any]
    control: bool
    known: str


@dataclass
class Result:
    """One line of the report."""

    name: str
    times: int = 0
    verdict: Any = None
    recoveries: list[float] = field(default_factory=list)
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)
    control: bool = False
    known: str = ""
    skipped: str = ""

    @property
    def passed(self):
        """Green, or red where it had to turn red."""
        if self.skipped or self.known:
            return True
        return bool(self.verdict.findings) == self.control


SCENARIOS: dict[str, Scenario] = {}


def scenario(
    name, system=None, *, times=5, short=1, load=None, disks=None, workers=None, control=False, known=""
):
    """Register one occurrence of a fault under a name."""

    def register(fault):
        shape = ONE if system is None else system
        SCENARIOS[name] = Scenario(
            name, fault, shape, times, short, load or {}, disks or {}, workers or {}, control, known
        )
        return fault

    return register


def all_scenarios():
    """Every scenario there is, by name."""
    for room in ROOMS:
        importlib.import_module(f"tests.faults.harness.scenarios.{room}")
    return SCENARIOS


async def played(scenario, system, times, seed, *, long=False):
    """The scenario on a running system: load, the fault again and again, the verdict."""
    return await played_together([(scenario, times)], system, seed, long=long)


async def played_together(program, system, seed, *, long=False):
    """Several scenarios one after the other under one load, judged once; each with its times."""
    scenario = program[0][0]
    known = " ".join(s.known for s, _ in program if s.known)
    result = Result(" + ".join(s.name for s, _ in program), control=scenario.control, known=known)
    started = time.monotonic()
    async with under_load(system, scenario.name, seed, long=long, **scenario.load) as run:
        for one in [one for one, times in program for _ in range(times)]:
            since = await one.fault(run)
            await run.recovered(since)
            result.times += 1
    result.verdict, result.recoveries, result.notes = run.verdict, run.recoveries, run.notes
    result.seconds = time.monotonic() - started
    return result, run
