"""SIGSTOP past the session time-out and SIGCONT: a worker that believes nothing has happened."""

import asyncio
import signal
import time

from tests.faults.harness.scenario import ROLES, scenario
from tests.faults.harness.system import SESSION_SECONDS

TAKEN = "partitions assigned"
RED_LEASE_SECONDS = 30


async def until(holds, seconds=60):
    """Returns once it holds."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def takings(worker):
    """How often a worker has taken partitions so far."""
    return worker.log.read_text().count(TAKEN)


async def counted_by(run, worker, seconds=20):
    """The worker has counted what was acknowledged by now: the sleeper's work is done by another."""
    async with asyncio.timeout(seconds):
        for client in run.clients:
            position = run.ledgers[client.client_id].acked[-1].position
            url = f"{worker.url}/v1/live?at_least={position}"
            while (await client._call("GET", url))[0] != 200:  # noqa: ASYNC110
                await asyncio.sleep(0.05)


async def zombie(run, role, point=None):
    """One of two workers sleeps through its session, at a crash point or anywhere, and wakes up."""
    sleeper, other = run.system.workers[f"{role}-1"], run.system.workers[f"{role}-2"]
    if point:
        visit = run.random.randrange(2, 12)
        await asyncio.to_thread(sleeper.restart, RED_CRASH_AT=f"{point}#{visit}:stop")
        await until(lambda: sleeper.is_running and sleeper.is_paused)
    else:
        await run.moment()
        sleeper.signal(signal.SIGSTOP)
    before = takings(other)
    await until(lambda: takings(other) > before)
    await run.flowing(20)
    if role == "live":
        await counted_by(run, other)
    sleeper.signal(signal.SIGCONT)
    since = time.monotonic()
    run.notes.append(f"deaths of the zombie so far {sleeper.deaths}")
    await run.system.until_ready()
    return since


@scenario("zombie live, anywhere", ROLES, times=3)
async def live_anywhere(run):
    """At a random moment."""
    return await zombie(run, "live")


@scenario("zombie live, in a transaction", ROLES, times=3)
async def live_in(run):
    """Records sent, not committed."""
    return await zombie(run, "live", "live.in-transaction")


@scenario("zombie live, between transactions", ROLES, times=3)
async def live_between(run):
    """Committed, memory not yet changed."""
    return await zombie(run, "live", "live.after-transaction")


@scenario("zombie deliver, anywhere", ROLES, times=3)
async def deliver_anywhere(run):
    """At a random moment."""
    return await zombie(run, "deliver")


@scenario("zombie deliver, in a transaction", ROLES, times=3)
async def deliver_in(run):
    """Results sent, not committed."""
    return await zombie(run, "deliver", "deliver.in-transaction")


@scenario("zombie deliver, behind a POST", ROLES, times=3)
async def deliver_behind_post(run):
    """The webhook has it, the log does not."""
    return await zombie(run, "deliver", "deliver.after-post")


@scenario("zombie record, anywhere", ROLES, times=3)
async def record_anywhere(run):
    """The only one (chDB has one owner): nobody takes its partitions, it must join again."""
    record = run.system.workers["record-1"]
    await run.moment()
    record.signal(signal.SIGSTOP)
    await asyncio.sleep(2 * SESSION_SECONDS)
    record.signal(signal.SIGCONT)
    return time.monotonic()


@scenario("zombie RED, in a transaction", times=2, short=0)
async def red_in(run):
    """RED sleeps with a keyed request half done; another RED ends it after the lease."""
    system = run.system
    if "red-2" not in system.reds:
        system.add_red("red-2")
        await system.until_ready()
    sleeper = system.reds["red"]
    visit = run.random.randrange(2, 8)
    await asyncio.to_thread(sleeper.restart, RED_CRASH_AT=f"red.in-transaction#{visit}:stop")
    await until(lambda: sleeper.is_running and sleeper.is_paused)
    await asyncio.sleep(RED_LEASE_SECONDS + 8)
    sleeper.signal(signal.SIGCONT)
    return time.monotonic()
