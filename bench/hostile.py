"""One hostile client in each of many ways, and what another client's webhooks take meanwhile.

RED_BENCH_TREE is another checkout whose system is measured with these ways, such as one before they were
barred; RED_BENCH_WAYS names some of them. The hostile client runs in a process of its own on the same cores.
"""

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from typing import NamedTuple

import aiohttp
from aiohttp import web

from bench.load import an_image, known_key, quantile
from bench.run_attack import HOSTILE, WAYS
from bench.runs import ROOT
from bench.senders import Senders
from bench.system import System, a_system, bearer, spent, until_known

HONEST = "honest"
A_SECOND = 5  # images of the honest client; each alerts
SECONDS = 15.0
WARM_SECONDS = 4.0
LOST_AFTER = 30.0  # seconds


class Seen(NamedTuple):
    """What the honest client saw: seconds from image to webhook, images refused, webhooks that never came."""

    took: list[float]
    refused: int
    lost: int

    def __str__(self) -> str:
        p95 = f"{1000 * quantile(self.took, 95):7.0f} ms" if self.took else "  never"
        return (
            p95
            + (f", {self.refused} refused" if self.refused else "")
            + (f", {self.lost} lost" if self.lost else "")
        )


class Honest:
    """A client with one subscription and its receiver."""

    def __init__(self, system: System, key: str) -> None:
        self._sending, self._image = Senders(system.red, key), an_image(0.5, 3)
        self._received: dict[str, float] = {}
        self._number = 0

    async def receive(self, request: web.Request) -> web.Response:
        at = time.perf_counter()
        self._received.setdefault((await request.json())["data"]["image_id"], at)
        return web.Response(status=204)

    async def seen(self, seconds: float, lost_after: float = LOST_AFTER) -> Seen:
        """Images at a steady rate, each asked for whatever becomes of those before."""
        posted: dict[str, float] = {}
        refused = 0

        async def one(tail: bytes) -> None:
            nonlocal refused
            started = time.perf_counter()
            try:
                async with asyncio.timeout(LOST_AFTER):
                    reply = await self._sending.post(self._image, tail)
            except (OSError, TimeoutError):
                refused += 1
                return
            if reply.status == 200:
                posted[json.loads(reply.body)["image_id"]] = started
            else:
                refused += 1

        start = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(int(seconds * A_SECOND)):
                await asyncio.sleep(max(0, start + number / A_SECOND - time.perf_counter()))
                self._number += 1
                group.create_task(one(b"h%d" % self._number))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(lost_after):
                while posted.keys() - self._received.keys():  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
        took = [self._received[name] - at for name, at in posted.items() if name in self._received]
        return Seen(took, refused, len(posted) - len(took))


def main() -> None:
    ways = os.environ.get("RED_BENCH_WAYS", ",".join(WAYS)).split(",")
    tree = os.environ.get("RED_BENCH_TREE", str(ROOT))
    print(f"{'':64} alone         under attack", flush=True)
    for way in ways:
        with a_system(tree=tree, RED_WEBHOOK_ALLOW="127.0.0.0/8", RED_RATE="0") as system:
            alone, attacked, shares = asyncio.run(_measured(system, way))
        ratio = quantile(attacked.took, 95) / quantile(alone.took, 95)
        print(f"{WAYS[way][0]:<64} {alone!s:<13} {attacked!s:<30} {ratio:6.1f}   (goal <= 2)", flush=True)
        busy = ", ".join(f"{part} {share:.0%}" for part, share in sorted(shares.items()))
        print(f"  of a core meanwhile: {busy}", flush=True)


async def _measured(system: System, way: str) -> tuple[Seen, Seen, dict[str, float]]:
    async with an_honest_client(system) as honest:
        await honest.seen(WARM_SECONDS)
        alone = await honest.seen(SECONDS)
        key = await known_key(system, HOSTILE)
        attack = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bench.run_attack", way, system.red, system.stats, system.kafka, key,
            cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            assert attack.stdout is not None
            async with asyncio.timeout(300):
                assert await attack.stdout.readline(), "the attack did not begin"
            await asyncio.sleep(WARM_SECONDS)
            before, began = spent(), time.perf_counter()
            attacked = await honest.seen(SECONDS)
            seconds = time.perf_counter() - began
            shares = {part: (used - before.get(part, 0)) / seconds for part, used in spent().items()}
            return alone, attacked, shares
        finally:
            with contextlib.suppress(ProcessLookupError):
                attack.kill()
            await attack.wait()


@contextlib.asynccontextmanager
async def an_honest_client(system: System) -> AsyncIterator[Honest]:
    """A client `HONEST` with a subscription and a receiver of its own in this process."""
    key = await known_key(system, HONEST)
    honest = Honest(system, key)
    application = web.Application()
    application.router.add_post("/hook", honest.receive)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession() as session:
        await until_known(session, f"{system.stats}/v1/subscriptions", key)
        body = {"webhook_url": f"http://127.0.0.1:{runner.addresses[0][1]}/hook", "threshold": 0.25}
        async with session.post(f"{system.stats}/v1/subscriptions", json=body, headers=bearer(key)) as made:
            assert made.status == 201, await made.text()
    try:
        yield honest
    finally:
        await runner.cleanup()
