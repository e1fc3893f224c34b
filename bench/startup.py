"""`red-stats up` on a warm machine: seconds to ready on a new and an old folder, to stop, and memory."""

import statistics
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.runs import told
from bench.system import System, memory

ROUNDS = 3
GOAL_SECONDS = 20


def main() -> None:
    fresh, again, stops, memory = [], [], [], []
    for _ in range(ROUNDS):
        with TemporaryDirectory(prefix="red-bench-") as folder:
            system = System(Path(folder))
            fresh.append(system.start())
            memory.append(_memory(system))
            stops.append(system.stop())
            again.append(system.start())
            stops.append(system.stop())
    for name, seconds in (("new folder", fresh), ("old folder", again), ("stop", stops)):
        print(f"{name:<11} {statistics.median(seconds):5.1f} s  ({min(seconds):.1f} to {max(seconds):.1f})")
    for name, mib in memory[-1].items():
        print(f"{name:<11} {mib:5.0f} MiB")
    told("ready / goal of 20 s", statistics.median(fresh) / GOAL_SECONDS, 1, at_least=False)


def _memory(system: System) -> dict[str, float]:
    """Proportional memory (MiB) of every part, so that what is shared counts once."""
    found = {name: sum(memory(one) for one in processes) for name, processes in system.parts().items()}
    return found | {"in all": sum(found.values())}
