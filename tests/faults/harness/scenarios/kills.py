"""kill -9 of every role of `red-stats up`, at random moments under load."""

import asyncio
import time

import psutil

from tests.faults.harness.scenario import scenario

LIMIT, WITHIN = 4, 61.0  # one more death within a minute would stop the whole, as it must


async def killed(run, word):
    """One child dies; its supervisor starts it again."""
    await run.moment()
    earlier = run.kills[-LIMIT:]
    if len(earlier) == LIMIT:
        await asyncio.sleep(max(0.0, earlier[0] + WITHIN - time.monotonic()))
    await run.system.kill_child(word)
    run.kills.append(time.monotonic())
    return run.kills[-1]


@scenario("kill worker", "up", times=20, short=2)
async def kill_worker(run):
    """The worker with all three roles."""
    return await killed(run, "red_stats worker")


@scenario("kill RED", "up", times=20, short=1)
async def kill_red(run):
    """RED with its decoders."""
    return await killed(run, "red_service")


@scenario("kill Kafka", "up", times=20, short=1)
async def kill_kafka(run):
    """The broker, whose last writes are only in the page cache."""
    return await killed(run, "kafka.Kafka")


@scenario("kill supervisor", "up", times=20, short=1)
async def kill_supervisor(run):
    """The supervisor, and with it everything; started again at once."""
    await run.moment()
    family = run.system.family()
    run.system.process.kill()
    since = time.monotonic()
    await asyncio.to_thread(run.system.process.wait)
    await run.system.start_up()
    _, alive = await asyncio.to_thread(psutil.wait_procs, family, 0)
    assert not alive, "what a killed supervisor leaves behind ends"
    return since
