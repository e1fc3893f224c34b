"""Processor time of this process by thread: Python's by their names, chDB's by what they do."""

import os
import threading
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

TICK = 1 / os.sysconf("SC_CLK_TCK")


def seconds_by_thread() -> dict[str, float]:
    """Used so far, by name; threads that have ended are missing."""
    names = {thread.native_id: thread.name for thread in threading.enumerate()}
    found: dict[str, float] = defaultdict(float)
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):
            comm, rest = (task / "stat").read_text().rsplit(")", 1)
            user, system = rest.split()[11:13]
            name = names.get(int(task.name)) or f"chDB {comm.split('(', 1)[1]}"
            found[name] += (int(user) + int(system)) * TICK
    return dict(found)


def between(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """What was used meanwhile, the most first."""
    used = {name: seconds - before.get(name, 0.0) for name, seconds in after.items()}
    return dict(sorted(((n, round(s, 3)) for n, s in used.items() if s > 0), key=lambda pair: -pair[1]))
