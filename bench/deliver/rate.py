"""Webhooks a second of the whole system, beside a bare aiohttp loop that POSTs the same to the same place."""

import asyncio

from bench.deliver.setup import (
    Receiver,
    a_receiver,
    a_system_that_delivers,
    an_operator,
    bare_posts,
    published,
    until_idle,
)
from bench.runs import Rounds, told
from bench.system import System, spent

ENDPOINTS = 50  # each of a client and a host of its own
WEBHOOKS = 20_000
ROUNDS = 3
TOGETHER = 4  # POSTs under way to an endpoint
GOAL = 0.6


def main() -> None:
    with a_system_that_delivers() as system, a_receiver() as receiver:
        asyncio.run(_measure(system, receiver))


async def _measure(system: System, receiver: Receiver) -> None:
    clients = [f"rate-{number}" for number in range(ENDPOINTS)]
    urls = [receiver.url(number) for number in range(ENDPOINTS)]
    async with an_operator(system) as subscribed:
        for client, url in zip(clients, urls, strict=True):
            await subscribed(client, url)
    rounds, came = Rounds(), 0
    for number in range(ROUNDS + 1):
        before, publishing = spent(), asyncio.create_task(published(system, WEBHOOKS, clients))
        rate = await receiver.a_second(WEBHOOKS, came)
        await publishing
        await receiver.until(came + WEBHOOKS)
        used = {part: seconds - before.get(part, 0) for part, seconds in spent().items()}
        await until_idle()
        bare = await bare_posts(receiver, urls, WEBHOOKS, together=TOGETHER)
        came = (await receiver.told())["count"]
        if number:  # the first warms up
            rounds.add("ours", rate)
            rounds.add("bare", bare)
            shares = ", ".join(f"{part} {1000 * one / WEBHOOKS:.2f}" for part, one in sorted(used.items()))
            print(
                f"  {rate:.0f}/s, bare loop {bare:.0f}/s; ms of processor time a webhook: {shares}",
                flush=True,
            )
    print(f"{ENDPOINTS} endpoints: {rounds.median('ours'):.0f} webhooks/s, bare {rounds.median('bare'):.0f}")
    told("  webhooks / POSTs of a bare loop", rounds.ratio("ours", "bare"), GOAL)
