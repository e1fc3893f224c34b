"""The statistics store without room, without the right to write, and slow. No alert may wait for it."""

import asyncio
import subprocess
import time

from tests.faults.harness.scenario import scenario

SLOW_SYNC = 1.0


async def alerts_arrive(run, seconds):
    """At least one new alert reaches the receiver meanwhile."""
    had = len(run.receiver.alerts())
    await run.receiver.until(lambda receiver: len(receiver.alerts()) > had, seconds)


async def filled(run):
    """Every byte that becomes free is taken too."""
    await run.moment()
    disk = run.system.store_disk
    ending = time.monotonic() + (20 if run.long else 5)
    await asyncio.to_thread(disk.fill)
    await alerts_arrive(run, 15)
    while time.monotonic() < ending:
        await asyncio.to_thread(disk.fill)
        await asyncio.sleep(0.1)
    disk.clear()
    return time.monotonic()


@scenario(
    "store's disk full, to the last byte",
    times=3,
    disks={"store_mib": 200},
    workers={"RED_MIN_FREE_BYTES": "0"},
)
async def full(run):
    """The guard is off: writes fail in the middle."""
    return await filled(run)


@scenario(
    "store's disk full, guarded",
    times=3,
    disks={"store_mib": 200},
    workers={"RED_MIN_FREE_BYTES": "33554432"},
)
async def guarded(run):
    """The store refuses inserts while 32 MiB are left; then those go too."""
    return await filled(run)


def limit_files(pid, size):
    """How large a file the process may write: with 0 every write to a disk fails."""
    subprocess.run(["prlimit", "--pid", str(pid), f"--fsize={size}:"], check=True)


@scenario("ClickHouse failing", times=3)
async def failing(run):
    """Every write of the worker to a file fails (RLIMIT_FSIZE)."""
    await run.moment()
    pid = run.system.workers["all-1"].process.pid
    limit_files(pid, "0")
    await alerts_arrive(run, 15)
    await run.lasting(20, 6)
    limit_files(pid, "unlimited")
    return time.monotonic()


@scenario("ClickHouse slow", times=3)
async def slow(run):
    """Every fsync takes a second longer."""
    await run.moment()
    run.system.faults["worker"].slow_syncs(SLOW_SYNC)
    await alerts_arrive(run, 15)
    await run.lasting(20, 6)
    run.system.faults["worker"].slow_syncs(0)
    return time.monotonic()
