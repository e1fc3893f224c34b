"""The wall clock jumps by an hour and back, while one of ten webhooks fails and must be tried again."""

import random
import time

from tests.faults.harness.scenario import scenario

HOUR = 3600
SOON = {"settle_seconds": 20}
OVER_HTTP = SOON | {"http": 20, "direct": 0}  # what measures lives on the machine whose clock is turned


async def sometimes(request):
    """Every fifth POST is told to come again."""
    return 500 if random.random() < 0.2 else 200


async def jumped(run, seconds, *names):
    """The clocks of these processes are wrong for a while."""
    run.evidence.clocks_turned = True
    run.receiver.answer = sometimes
    await run.moment()
    for name in names:
        run.system.faults[name].turn_clock(seconds)
    await run.flowing(100)
    for name in names:
        run.system.faults[name].turn_clock(0)
    run.receiver.answer = 200
    return time.monotonic()


@scenario("clock of the worker + 1 h", times=3, load=SOON)
async def worker_ahead(run):
    """Only the worker's."""
    return await jumped(run, HOUR, "worker")


@scenario("clock of the worker - 1 h", times=3, load=SOON)
async def worker_behind(run):
    """Only the worker's."""
    return await jumped(run, -HOUR, "worker")


@scenario("clock of the machine + 1 h", times=3, load=OVER_HTTP)
async def machine_ahead(run):
    """Kafka's, RED's and the worker's."""
    return await jumped(run, HOUR, "kafka", "red", "worker")


@scenario("clock of the machine - 1 h", times=3, load=OVER_HTTP)
async def machine_behind(run):
    """Kafka's, RED's and the worker's."""
    return await jumped(run, -HOUR, "kafka", "red", "worker")
