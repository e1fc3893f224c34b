"""The system a scenario asks for, started and stopped."""

from contextlib import asynccontextmanager

from tests.faults.harness.supervised import Supervised
from tests.faults.harness.system import System


@asynccontextmanager
async def a_system(scenario, folder):
    """`red-stats up`, or separate processes in the scenario's shape."""
    if scenario.system == "up":
        supervised = Supervised(folder)
        try:
            await supervised.start_up()
            await supervised.until_ready()
            yield supervised
        finally:
            await supervised.end()
        return
    system = System(folder, **scenario.disks)
    try:
        await system.start(scenario.system, **scenario.workers)
        yield system
    finally:
        await system.stop()
