"""Kafka away, asleep, and without a byte of disk."""

import asyncio
import signal
import time

from tests.faults.harness.scenario import scenario

FULL_SECONDS = 15


@scenario("Kafka stopped for 60 s", times=2)
async def stopped(run):
    """In order, and started again; the time of its own start is part of the recovery."""
    await run.moment()
    kafka = run.system.kafka
    kafka.keep = False
    kafka.signal(signal.SIGTERM)
    await asyncio.to_thread(kafka.process.wait)
    await run.lasting(60, 8)
    kafka.start()
    kafka.keep = True
    return time.monotonic()


@scenario("Kafka asleep for 30 s", times=2)
async def asleep(run):
    """SIGSTOP: connections stay, nothing is answered."""
    await run.moment()
    run.system.kafka.signal(signal.SIGSTOP)
    await run.lasting(30, 8)
    run.system.kafka.signal(signal.SIGCONT)
    return time.monotonic()


@scenario("Kafka's disk full", times=2, disks={"kafka_mib": 300})
async def full(run):
    """Not a byte is left; the broker dies of it and is started until there is room."""
    await run.moment()
    disk, kafka = run.system.kafka_disk, run.system.kafka
    deaths = len(kafka.deaths)
    ending = time.monotonic() + FULL_SECONDS
    while time.monotonic() < ending:
        await asyncio.to_thread(disk.fill)
        await asyncio.sleep(0.1)
    run.notes.append(f"Kafka died {len(kafka.deaths) - deaths} times of it: {kafka.deaths[deaths:]}")
    disk.clear()
    return time.monotonic()
