"""Image posted to webhook received, all parts on this machine: Kafka, RED, the worker, load, receiver.

The clock starts before the POST of the image and ends in the receiver's handler.
"""

import asyncio
import io
import json
import time
from collections.abc import Sequence

import aiohttp
import numpy as np
from aiohttp import web
from PIL import Image

from bench.runs import told
from bench.senders import Senders
from bench.system import System, a_system, bearer, spent, until_known

RATE = 200  # images a second
SECONDS = 20
WARM_SECONDS = 5
CLIENTS = 8
SIZE = (640, 420)


def main() -> None:
    with a_system() as system:  # one for both: files are dear to make where others were just removed
        for share in (0.05, 1.0):
            asyncio.run(_measure(system, share))


def an_image(red_share: float, seed: int) -> bytes:
    """A JPEG of noise, the left of it red."""
    width, height = SIZE
    noise = np.random.default_rng(seed).integers(0, 60, (height // 4, width // 4, 3), dtype=np.uint8)
    pixels = noise.repeat(4, axis=0).repeat(4, axis=1)
    pixels[:, : int(width * red_share), 0] = 230
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, "JPEG", quality=85)
    return target.getvalue()


async def _measure(system: System, share: float) -> None:
    """`share` of the images are over their client's threshold."""
    red, grey = an_image(0.5, 1), an_image(0.0, 2)
    posted: dict[str, float] = {}
    answered: list[float] = []
    early: dict[str, float] = {}
    refused: list[int] = []

    async def receive(request: web.Request) -> web.Response:
        at = time.perf_counter()
        body = await request.json()
        early.setdefault(body["data"]["image_id"], at)
        return web.Response(status=204)

    application = web.Application()
    application.router.add_post("/hook", receive)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    hook = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    clients = [f"bench-{round(100 * share)}-{number}" for number in range(CLIENTS)]
    keys = await asyncio.gather(*(asyncio.to_thread(system.key, client) for client in clients))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        for key in keys:
            await until_known(session, f"{system.red}/red/images/x", key)
            await until_known(session, f"{system.stats}/v1/subscriptions", key)
            body = {"webhook_url": hook, "threshold": 0.25}
            async with session.post(
                f"{system.stats}/v1/subscriptions", json=body, headers=bearer(key)
            ) as made:
                assert made.status == 201, await made.text()

    sending = [Senders(system.red, key) for key in keys]

    async def post(number: int, *, counts: bool) -> None:
        is_red = number % round(1 / share) == 0
        started = time.perf_counter()
        sender, content = sending[number % CLIENTS], red if is_red else grey
        while (reply := await sender.post(content, b"%d %d" % (number, counts))).status == 503:
            refused.append(number)
            await asyncio.sleep(reply.retry_after)
        assert reply.status == 200, reply
        if counts:
            answered.append(time.perf_counter() - started)
            if is_red:
                posted[json.loads(reply.body)["image_id"]] = started

    await _at_rate(RATE, WARM_SECONDS, lambda number: post(number, counts=False))
    before = spent()
    await _at_rate(RATE, SECONDS, lambda number: post(number, counts=True))
    busy = {part: seconds - before.get(part, 0) for part, seconds in spent().items()}
    async with asyncio.timeout(30):
        while posted.keys() - early.keys():  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    for one in sending:
        one.close()
    await runner.cleanup()
    received = {image: early[image] - started for image, started in posted.items()}
    print(f"{RATE} images/s of {SIZE[0]}x{SIZE[1]}, {share:.0%} of them alert, {len(received)} webhooks")
    print(f"  refused for a second because every decoder was busy: {len(refused)}")
    shares = ", ".join(f"{part} {used / SECONDS:.0%}" for part, used in sorted(busy.items()))
    print(f"  of a core: {shares}")
    _tell("  image posted to answer of RED", answered, None)
    _tell("  image posted to webhook received", list(received.values()), (60, 150))


async def _at_rate(rate: float, seconds: float, work) -> None:  # type: ignore[no-untyped-def]
    """Open loop: each starts at its time, whatever became of the others."""
    start, tasks = time.perf_counter(), []
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0, start + number / rate - time.perf_counter()))
        tasks.append(asyncio.create_task(work(number)))
    await asyncio.gather(*tasks)


def _tell(title: str, seconds: Sequence[float], goals: tuple[float, float] | None) -> None:
    p50, p95, p99 = (1000 * float(np.percentile(seconds, q)) for q in (50, 95, 99))
    print(f"{title}: p50 {p50:.1f} ms, p95 {p95:.1f} ms, p99 {p99:.1f} ms")
    if goals:
        told("    p95 / goal", p95 / goals[0], 1, at_least=False)
        told("    p99 / goal", p99 / goals[1], 1, at_least=False)
