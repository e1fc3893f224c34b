"""A backfill of one client that alerts about every image, and how late another one's alerts are meanwhile.

Both are in the same partition. The storm's own endpoint answers at once, so its webhooks go on all the while.
"""

import asyncio
import time
from itertools import count

import aiohttp

from bench.deliver.setup import FULL, a_receiver, a_system_that_delivers, an_operator, published, told_p95
from bench.events import PARTITIONS
from bench.hostile import A_SECOND, HONEST, an_honest_client
from bench.load import described, quantile
from bench.runs import told
from bench.system import System, spent
from red_common.kafka.partitioner import partition_of

ALERTS = 1_200_000 if FULL else 200_000
DAYS = 86_400.0
SECONDS, FULL_SECONDS = 60.0, 240.0  # how long the other client is looked at
WARM_SECONDS, ALONE_SECONDS = 4.0, 15.0
LOST_AFTER = 300.0
GOAL = 1.0
RAISED = "red_stats_alerts_total"


def main() -> None:
    with a_system_that_delivers() as system, a_receiver() as receiver:
        asyncio.run(_measure(system, receiver.url(0)))


async def _measure(system: System, url: str) -> None:
    wanted = partition_of(HONEST, PARTITIONS)
    client = next(name for n in count() if partition_of(name := f"storm-{n}", PARTITIONS) == wanted)
    async with an_honest_client(system) as other, an_operator(system) as subscribed:
        await subscribed(client, url, max_age=None)
        await other.seen(WARM_SECONDS)
        alone = await other.seen(ALONE_SECONDS)
        before, began = spent(), time.monotonic()
        storm = asyncio.create_task(published(system, ALERTS, [client], age=30 * DAYS))
        raised = asyncio.create_task(_raised(system, began))
        seen = await other.seen(FULL_SECONDS if FULL else SECONDS, LOST_AFTER)
        await storm
        raising = await raised
        seconds = time.monotonic() - began
        shares = {part: (used - before.get(part, 0)) / seconds for part, used in spent().items()}
    busy = ", ".join(f"{part} {share:.0%}" for part, share in sorted(shares.items()))
    print(f"{ALERTS:,} alerts of one client; of a core meanwhile: {busy}")
    print(f"  another client of the partition, {A_SECOND} images/s, before: {described(alone.took)}")
    print(f"  meanwhile: {described(seen.took)}, {seen.refused} refused, {seen.lost} lost")
    print(f"  role live has raised them all after {raising:.1f} s, in the order of the log")
    told("  its latest alert / s", quantile(seen.took, 100), GOAL, at_least=False)
    told("  its latest alert / the time live takes to raise the storm", quantile(seen.took, 100) / raising)
    told_p95(alone.took, seen.took)


async def _raised(system: System, began: float) -> float:
    """Seconds until role live has raised as many alerts."""
    async with aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"{system.stats}/metrics") as answer:
                lines = (await answer.text()).splitlines()
            if sum(float(line.split()[-1]) for line in lines if line.startswith(RAISED)) >= ALERTS:
                return time.monotonic() - began
            await asyncio.sleep(0.5)
