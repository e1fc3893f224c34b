"""Receivers in processes of their own, subscriptions and measurements that alert, for what delivery takes."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import aiohttp

from bench.load import quantile
from bench.runs import ROOT, measured, told
from bench.system import System, a_system, bearer, spent

FULL = os.environ.get("RED_BENCH_FULL") == "1"  # the sizes of the goals instead of some minutes
ALLOW = "127.0.0.0/8"
NOT_SENT = ("host", "content-", "accept", "user-agent")  # headers that aiohttp makes itself


def a_system_that_delivers(**settings: str) -> contextlib.AbstractContextManager[System]:
    """The whole system; webhooks may go to any local address, and clients may do as much as they like."""
    return a_system(RED_WEBHOOK_ALLOW=ALLOW, RED_RATE="0", **settings)


class Receiver:
    """A running `bench.run_receiver`."""

    def __init__(self, port: int) -> None:
        self.port = port

    def url(self, number: int) -> str:
        """An endpoint on a host of its own."""
        return f"http://127.0.{1 + number // 250}.{1 + number % 250}:{self.port}/{number}"

    async def told(self) -> dict[str, Any]:
        """What came so far (see `bench.run_receiver`)."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{self.port}/") as answer,
        ):
            found: dict[str, Any] = await answer.json(content_type=None)
        return found

    async def until(self, count: int) -> None:
        """Returns when so many webhooks have come."""
        while (await self.told())["count"] < count:  # noqa: ASYNC110
            await asyncio.sleep(0.2)

    async def a_second(self, count: int, since: int = 0) -> float:
        """Webhooks a second over the middle 80 % of the next `count` after the first `since`."""
        await self.until(since + count // 10)
        first = await self.told()
        await self.until(since + count - count // 10)
        last = await self.told()
        return float((last["count"] - first["count"]) / (last["at"] - first["at"]))


@contextmanager
def a_receiver(port: int = 0) -> Iterator[Receiver]:
    command = [sys.executable, "-m", "bench.run_receiver", str(port)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield Receiver(int(process.stdout.readline()))
        finally:
            process.kill()


@asynccontextmanager
async def an_operator(system: System) -> AsyncIterator[Callable[..., Any]]:
    """`subscribed(client, url, **fields)` -> the id of a new subscription that alerts about red over 0.25."""
    keys = json.loads((system.folder / "data" / "keys.json").read_text())
    headers = bearer(keys["operator"]["api_key"])
    async with aiohttp.ClientSession(headers=headers) as session:

        async def subscribed(client: str, url: str, **fields: Any) -> str:
            body = {"webhook_url": url, "threshold": 0.25} | fields
            while True:
                async with session.post(
                    f"{system.stats}/v1/subscriptions", params={"client": client}, json=body
                ) as made:
                    if made.status == 201:
                        return str((await made.json())["id"])
                    assert made.status == 429, await made.text()
                await asyncio.sleep(0.3)

        yield subscribed


async def published(system: System, count: int, clients: Sequence[str], *, age: float = 0) -> None:
    """Measurements of so many images that alert, by a process of its own; `age` in seconds."""
    await asyncio.to_thread(measured, "bench.run_backfill", system.kafka, str(count), str(age), *clients)


async def bare_posts(receiver: Receiver, urls: Sequence[str], count: int, *, together: int) -> float:
    """POSTs a second of a bare aiohttp loop that sends the last webhook again."""
    head, body = (await receiver.told())["last"]
    fields = [line.split(": ", 1) for line in head.split("\r\n")[1:]]
    headers = {name: value for name, value in fields if not name.lower().startswith(NOT_SENT)}
    task = {"urls": urls, "together": together, "count": count, "headers": headers, "body": body}
    found = await asyncio.to_thread(measured, "bench.run_posts", json.dumps(task))
    return float(found["a_second"])


def told_p95(before: Sequence[float], meanwhile: Sequence[float], goal: float | None = None) -> None:
    """One line: how much longer another client's webhooks took meanwhile."""
    ratio = quantile(meanwhile, 95) / quantile(before, 95)
    told("  its p95 meanwhile / before", ratio, goal, at_least=False)


async def until_idle() -> None:
    """Returns once all parts together take less than a third of a core, whoever else is busy."""
    before = sum(spent().values())
    while True:
        await asyncio.sleep(1)
        now = sum(spent().values())
        if now - before < 1 / 3:
            return
        before = now
