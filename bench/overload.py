"""More than RED can take: how much it still does, how long what it accepts takes, and what others notice.

Everything runs on this machine, load generator included, so first its capacity is found; loads are told as
multiples of that.
"""

import asyncio
import time
from dataclasses import dataclass, field

from bench.load import an_image, at_rate, capacity, described, known_key, quantile
from bench.runs import told
from bench.senders import Senders
from bench.system import System, a_system

CLIENTS = 8
SECONDS = 15
LOADS = (0.6, 1.0, 2.0)  # of the capacity
FLOOD = 64  # connections of one client
BESIDE = 200  # images of the other client
QUEUE_SECONDS = 2.0  # RED_QUEUE_SECONDS
NORMAL_WITHIN = 10.0  # seconds after which the wait for normal answers ends


@dataclass
class Found:
    """What became of one load; seconds."""

    accepted: list[float] = field(default_factory=list)  # from an attempt to its answer 200
    answered: list[float] = field(default_factory=list)  # from the first attempt
    refused: int = 0
    in_time: int = 0  # answers 200 while the load lasted


def main() -> None:
    with a_system(RED_RATE="0") as system:
        asyncio.run(_measure(system))


async def _measure(system: System) -> None:
    image = an_image(0.0, 2)
    keys = [await known_key(system, f"bench-{number}") for number in range(CLIENTS)]
    sending = [Senders(system.red, key) for key in keys]
    rate = await capacity(sending, lambda _: image)
    print(f"capacity of this machine: {rate:.0f} images/s of {len(image) >> 10} KiB")
    unloaded = await _times(sending[0], image, BESIDE)
    print(f"  unloaded: {described(unloaded)}")
    for load in LOADS:
        found = await _offered(sending, image, load * rate)
        print(f"offered {load:g} of it: {len(found.answered)} answered 200, {found.refused} refused")
        print(f"  accepted: {described(found.accepted)}; from the first attempt: {described(found.answered)}")
        told("  goodput / capacity", found.in_time / SECONDS / rate, 0.9 if load == 2 else None)
        if load == 2:
            bound = QUEUE_SECONDS + 1
            told("  p99 of what is accepted / s", quantile(found.accepted, 99), bound, at_least=False)
            normal = await _seconds_until_normal(sending[0], image, 2 * quantile(unloaded, 95))
            told("  seconds until its clients are served as before", normal, 3, at_least=False)
    await _flood(system, sending[0], image)
    for one in sending:
        one.close()


async def _offered(sending: list[Senders], image: bytes, rate: float) -> Found:
    """Clients that send at `rate` and come again when they are told; none does after the end."""
    found, end = Found(), time.perf_counter() + SECONDS

    async def post(number: int) -> None:
        first = time.perf_counter()
        while True:
            started = time.perf_counter()
            reply = await sending[number % CLIENTS].post(image, b"%d %f" % (number, started))
            now = time.perf_counter()
            if reply.status == 200:
                found.accepted.append(now - started)
                found.answered.append(now - first)
                found.in_time += now <= end
                return
            assert reply.status == 503, reply
            found.refused += 1
            if now + reply.retry_after > end:
                return
            await asyncio.sleep(reply.retry_after)

    await at_rate(rate, SECONDS, post)
    return found


async def _seconds_until_normal(sending: Senders, image: bytes, bound: float) -> float:
    """Seconds until five images in a row are answered within `bound` seconds each."""
    start = began = time.perf_counter()
    row = number = 0
    while row < 5 and began - start < NORMAL_WITHIN:
        number += 1
        sent = time.perf_counter()
        reply = await sending.post(image, b"n%d" % number)
        good = reply.status == 200 and time.perf_counter() - sent <= bound
        row, began = (row + 1, began) if good else (0, time.perf_counter())
    return began - start


async def _times(sending: Senders, image: bytes, count: int) -> list[float]:
    """Seconds of images that are sent one after the other."""
    found: list[float] = []
    for number in range(count):
        start = time.perf_counter()
        reply = await sending.post(image, b"t%d %f" % (number, start))
        assert reply.status == 200, reply
        found.append(time.perf_counter() - start)
    return found


async def _flood(system: System, other: Senders, image: bytes) -> None:
    """One client sends over FLOOD connections as fast as it is answered, and never waits when refused."""
    alone, flooding = (
        await _times(other, image, BESIDE),
        Senders(system.red, await known_key(system, "flood")),
    )
    running, statuses = True, {200: 0, 503: 0}

    async def connection(number: int) -> None:
        count = 0
        while running:
            count += 1
            reply = await flooding.post(image, b"f%d %d" % (number, count))
            statuses[reply.status] = statuses.get(reply.status, 0) + 1

    tasks = [asyncio.create_task(connection(number)) for number in range(FLOOD)]
    await asyncio.sleep(2)
    beside = await _times(other, image, BESIDE)
    running = False
    await asyncio.gather(*tasks)
    flooding.close()
    print(f"{FLOOD} connections of one client: {statuses[200]} accepted, {statuses[503]} refused")
    print(f"  another client alone: {described(alone)}; meanwhile: {described(beside)}")
    told("  its p95 meanwhile / alone", quantile(beside, 95) / quantile(alone, 95), 2, at_least=False)
