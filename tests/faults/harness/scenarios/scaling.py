"""2 -> 3 -> 1 -> 2 workers of a role under load. Role record is one process on chDB: not applicable."""

import time

from tests.faults.harness.scenario import ROLES, scenario


async def scaled(run, role):
    """Each size is reached, and images flow through it."""
    system = run.system
    others = {name: r for name, r in ROLES.items() if r != role}
    for size in (3, 1, 2):
        await run.moment()
        since = time.monotonic()
        await system.reshape(others | {f"{role}-{n}": role for n in range(1, size + 1)}, instance=False)
        await run.flowing(20)
    return since


@scenario("2 -> 3 -> 1 -> 2 live", ROLES, times=3)
async def live(run):
    """Counts and thresholds move."""
    return await scaled(run, "live")


@scenario("2 -> 3 -> 1 -> 2 deliver", ROLES, times=3)
async def deliver(run):
    """Pending deliveries move."""
    return await scaled(run, "deliver")
