"""A storm of commands over HTTP and by topic while measurements flow."""

import asyncio
import json
import time
import uuid

from red_stats import topics
from tests.faults.harness.clients import produce
from tests.faults.harness.scenario import scenario


def command(run, client, subscription, **fields):
    """A record of red.subscription-commands."""
    ids = {"command_id": str(uuid.uuid4()), "client_id": client.client_id}
    value = json.dumps({"subscription_id": subscription["id"]} | ids | fields).encode()
    return (topics.SUBSCRIPTION_COMMANDS, client.client_id.encode(), value)


async def by_topic(run, ending):
    """Thresholds move up and down a hundred times a second, and commands that are refused."""
    while time.monotonic() < ending:
        batch = []
        for client, subscription in zip(run.clients, run.subscriptions, strict=True):
            for _ in range(5):
                threshold = run.random.randrange(5000, 10_000) / 10_000
                fields = {"command": "update", "threshold": threshold}
                batch.append(command(run, client, subscription, **fields))
            batch.append(command(run, client, subscription, command="update", threshold=7))
            batch.append(command(run, client, {"id": str(uuid.uuid4())}, command="disable"))
        await produce(run.system.bootstrap, batch)
        await asyncio.sleep(0.2)


async def over_http(run, client, subscription, ending):
    """One after the other, and subscriptions that come and go."""
    one = f"/v1/subscriptions/{subscription['id']}"
    while time.monotonic() < ending:
        threshold = run.random.randrange(5000, 10_000) / 10_000
        await client.ask("PATCH", one, json={"threshold": threshold})
        made = await client.ask(
            "POST", "/v1/subscriptions",
            json={"webhook_url": subscription["webhook_url"], "threshold": 0.5, "min_interval": 1},
        )  # fmt: skip
        run.receiver.secrets.append(made["secret"])
        await client.ask("DELETE", f"/v1/subscriptions/{made['id']}")


@scenario("commands storm", times=3)
async def storm(run):
    """About 150 commands a second for all clients together."""
    await run.moment()
    ending = time.monotonic() + (10 if run.long else 4)
    pairs = zip(run.clients, run.subscriptions, strict=True)
    await asyncio.gather(by_topic(run, ending), *(over_http(run, c, s, ending) for c, s in pairs))
    return time.monotonic()


@scenario("commands storm, worker killed", times=3)
async def storm_and_kill(run):
    """The same, and the worker dies in the middle of it."""
    await run.moment()
    ending = time.monotonic() + (10 if run.long else 4)
    work = asyncio.create_task(by_topic(run, ending))
    await run.moment(0.5, 3)
    run.system.workers["all-1"].process.kill()
    since = time.monotonic()
    await work
    return since
