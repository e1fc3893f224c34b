"""Bad cables between worker and Kafka, and between worker and receiver."""

import asyncio
import time

from tests.faults.harness.proxy import CUT, DEAF, FORWARD, SILENT
from tests.faults.harness.scenario import ROLES, scenario
from tests.faults.harness.scenarios.zombies import takings, until


async def bad(run, cable, mode, long, short):
    """The cable is bad for a while."""
    await run.moment()
    await asyncio.to_thread(cable.set, mode)
    await run.lasting(long, short)
    await asyncio.to_thread(cable.set, FORWARD)
    return time.monotonic()


@scenario("worker to Kafka: cut", times=3)
async def kafka_cut(run):
    """Connections are reset, new ones refused."""
    return await bad(run, run.system.broker.cable, CUT, 15, 6)


@scenario("worker to Kafka: half-open", times=3)
async def kafka_silent(run):
    """Connections die without a word, and never heal; new ones work again afterwards."""
    return await bad(run, run.system.broker.cable, SILENT, 20, 6)


@scenario("worker to Kafka: answers lost", times=3)
async def kafka_deaf(run):
    """What the worker sends arrives, commits included; what Kafka answers does not."""
    return await bad(run, run.system.broker.cable, DEAF, 20, 6)


@scenario("one of two workers to Kafka: half-open past the session", ROLES, times=3)
async def one_of_two(run):
    """Its partitions move to the worker that still hears Kafka; then it is heard again."""
    await run.moment()
    others = [run.system.workers[name] for name in ("live-2", "deliver-2")]
    before = [takings(other) for other in others]
    await asyncio.to_thread(run.system.broker.cable.set, SILENT)
    await until(lambda: all(takings(o) > n for o, n in zip(others, before, strict=True)))
    await run.flowing(40)
    await asyncio.to_thread(run.system.broker.cable.set, FORWARD)
    return time.monotonic()


@scenario("worker to receiver: cut", times=3)
async def receiver_cut(run):
    """Connections are reset, new ones refused."""
    return await bad(run, run.cable, CUT, 10, 4)


@scenario("worker to receiver: half-open", times=3)
async def receiver_silent(run):
    """POSTs vanish; each must time out by itself."""
    return await bad(run, run.cable, SILENT, 10, 4)


@scenario("worker to receiver: answers lost", times=3)
async def receiver_deaf(run):
    """POSTs arrive and are never answered: they come again under the same id."""
    return await bad(run, run.cable, DEAF, 10, 4)
