"""Processor time of all parts for an image, at a steady rate below capacity, warm, beside measuring it alone.

Also the transactions and inserts a second: what costs nearly the same however little is in it.
"""

import asyncio
import time
from collections import Counter

import aiohttp

from bench.deliver.setup import a_receiver, a_system_that_delivers, an_operator
from bench.load import an_image, at_rate, known_key
from bench.runs import told
from bench.senders import Senders
from bench.system import System, spent
from red_service.decoding import image
from red_stats.local.ports import free_port

CLIENTS = 8
RATE, ALERTING = 100, 20  # images a second, and of how many one alerts
WARM_SECONDS, SECONDS = 40.0, 40.0
GOAL_MS = 7.0
COUNTED = {  # the end of a metric's name and its label, and what it counts
    'transaction_seconds_count{role="': "transactions of",
    'insert_seconds_count{table="': "inserts into",
}


def main() -> None:
    port = free_port()
    with a_system_that_delivers(RED_DELIVER_PORT=str(port)) as system, a_receiver() as receiver:
        asyncio.run(_measure(system, receiver.url(0), [system.stats, f"http://127.0.0.1:{port}"]))


async def _measure(system: System, url: str, workers: list[str]) -> None:
    clients = [f"cost-{number}" for number in range(CLIENTS)]
    keys = [await known_key(system, client) for client in clients]
    sending = [Senders(system.red, key) for key in keys]
    async with an_operator(system) as subscribed:
        for client in clients:
            await subscribed(client, url)
    red, grey = an_image(0.5, 1), an_image(0.0, 2)
    answered = 0

    async def post(number: int) -> None:
        nonlocal answered
        content = red if number % ALERTING == 0 else grey
        reply = await sending[number % CLIENTS].post(content, b"%d %f" % (number, time.monotonic()))
        answered += reply.status == 200

    await at_rate(RATE, WARM_SECONDS, post)
    answered, before, counted = 0, spent(), await _counted(workers)
    await at_rate(RATE, SECONDS, post)
    done = await _counted(workers) - counted
    used = {part: 1000 * (now - before.get(part, 0)) / answered for part, now in spent().items()}
    for one in sending:
        one.close()
    load = used.pop("load")
    alone = _measured_alone([grey])
    shares = ", ".join(f"{part} {ms:.2f}" for part, ms in sorted(used.items(), key=lambda pair: -pair[1]))
    print(
        f"{answered / SECONDS:.0f} images/s of {RATE} offered, {100 / ALERTING:.0f} % alert;"
        f" ms an image: {shares}; load {load:.2f}"
    )
    print(
        "  a second: " + ", ".join(f"{what} {number / SECONDS:.1f}" for what, number in sorted(done.items()))
    )
    told("  all parts / measuring the image alone", sum(used.values()) / alone)
    told("  ms of all parts", sum(used.values()), GOAL_MS, at_least=False)


async def _counted(workers: list[str]) -> Counter[str]:
    """Transactions by role and inserts by table so far."""
    found = Counter[str]()
    async with aiohttp.ClientSession() as session:
        for worker in workers:
            async with session.get(f"{worker}/metrics") as answer:
                for line in (await answer.text()).splitlines():
                    for name, what in COUNTED.items():
                        if line.startswith(f"red_stats_{name}"):
                            label, _, value = line.partition('"')[2].partition('"} ')
                            found[f"{what} {label}"] += int(float(value))
    return found


def _measured_alone(contents: list[bytes], times: int = 200) -> float:
    """Milliseconds of processor time to decode and count an image, without anything around it."""
    before = time.process_time()
    for number in range(times):
        image.measure(contents[number % len(contents)])
    return 1000 * (time.process_time() - before) / times
