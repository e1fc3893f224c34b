"""Every crash point before, inside and after a transaction, an insert, a POST, an acknowledgement."""

import asyncio
import time

from red_common.failpoints import RED_POINTS, STATS_POINTS
from red_stats import topics
from tests.faults.harness.clients import produce
from tests.faults.harness.scenario import scenario

#: Those that the load comes to: nobody is erased by it, and no client is big enough for a seal.
REACHED = [point for point in STATS_POINTS if not point.endswith(("-seal", "-erase"))]


async def dies(kept, point, feed=None, seconds=40):
    """The process is started so that it dies at the point, and is started again when it has."""
    before = len(kept.deaths)
    await asyncio.to_thread(kept.restart, RED_CRASH_AT=point)
    async with asyncio.timeout(seconds):
        while len(kept.deaths) == before:
            if feed:
                await feed()
            await asyncio.sleep(0.1)
    assert kept.deaths[-1] == -9, f"{point}: {kept.deaths}"
    return time.monotonic()


def chosen(run, points):
    """Every point in the long form, two of them in the short one."""
    return list(points) if run.long else run.random.sample(points, 2)


@scenario("crash points of RED_STATS", times=1)
async def stats(run):
    """The first visit or a later one, by chance."""

    async def feed():  # only a dead letter lets record write a transaction
        await produce(run.system.bootstrap, [(topics.MEASUREMENTS, b"nobody", b"{")])

    for point in chosen(run, REACHED):
        dead = point.startswith("record.") and point.endswith("-transaction")
        visit = run.random.randrange(1, 3 if dead else 9)
        since = await dies(run.system.workers["all-1"], f"{point}#{visit}", feed if dead else None)
        await run.recovered(since)
    return since


@scenario("crash points of RED", times=2)
async def red(run):
    """Keyed requests end once, whatever their first process had done."""
    for point in chosen(run, RED_POINTS):
        since = await dies(run.system.reds["red"], f"{point}#{run.random.randrange(1, 9)}")
        await run.recovered(since)
    return since
