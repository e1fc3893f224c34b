"""An endpoint that comes back gets what waited for it: how fast, and what another one notices."""

import asyncio
import time

import aiohttp

from bench.deliver.setup import (
    FULL,
    a_receiver,
    a_system_that_delivers,
    an_operator,
    bare_posts,
    published,
    told_p95,
    until_idle,
)
from bench.hostile import an_honest_client
from bench.load import known_key
from bench.runs import told
from bench.system import System, bearer, spent
from red_stats.local.ports import free_port

CLIENT = "dead"
PENDING = 100_000 if FULL else 20_000
SECONDS = 15.0  # of the other client, before and during
WARM_SECONDS = 4.0
TOGETHER = 4  # the ramp's end: POSTs under way to one endpoint
GOAL = 2


def main() -> None:
    with a_system_that_delivers() as system:
        asyncio.run(_measure(system))


async def _measure(system: System) -> None:
    port = free_port()
    key = await known_key(system, CLIENT)
    async with an_honest_client(system) as other, an_operator(system) as subscribed:
        name = await subscribed(CLIENT, f"http://127.0.1.1:{port}/0")
        await published(system, PENDING, [CLIENT])
        await _until_pending(system, key, name)
        await until_idle()
        await other.seen(WARM_SECONDS)
        alone = await other.seen(SECONDS)
        with a_receiver(port) as receiver:
            returned = time.monotonic()
            await receiver.until(1)
            found = time.monotonic() - returned
            before, beside = spent(), asyncio.create_task(other.seen(SECONDS))
            rate = await receiver.a_second(PENDING)
            beside_it = await beside
            await receiver.until(PENDING)
            used = {part: seconds - before.get(part, 0) for part, seconds in spent().items()}
            await until_idle()
            bare = await bare_posts(receiver, [receiver.url(0)], PENDING // 4, together=TOGETHER)
    shares = ", ".join(f"{part} {1000 * one / PENDING:.2f}" for part, one in sorted(used.items()))
    print(f"{PENDING:,} pending, found after {found:.0f} s: {rate:.0f} webhooks/s, bare loop {bare:.0f}")
    print(f"  ms of processor time a webhook: {shares}")
    told(f"  webhooks / a bare loop with {TOGETHER} under way", rate / bare)
    print(f"  another client: p95 {alone} before, {beside_it} meanwhile")
    told_p95(alone.took, beside_it.took, GOAL)


async def _until_pending(system: System, key: str, name: str) -> None:
    """Returns when every alert of the subscription is known to wait."""
    url = f"{system.stats}/v1/subscriptions/{name}"
    async with aiohttp.ClientSession(headers=bearer(key)) as session:
        while True:
            async with session.get(url) as answer:
                health = (await answer.json())["health"]
            if health and health["pending"] >= PENDING:
                return
            await asyncio.sleep(0.5)
