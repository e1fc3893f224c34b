"""Image posted to webhook received, all parts on this machine: Kafka, RED, the worker, load, receiver.

The clock starts before the POST of the image and ends in the receiver's handler.
"""

import asyncio
import json
import time
from collections.abc import Sequence

import aiohttp
from aiohttp import web

from bench.load import SIZE, an_image, at_rate, capacity, described, quantile
from bench.runs import told
from bench.senders import Senders
from bench.system import System, a_system, bearer, spent, until_known

OF_CAPACITY = 0.6
SECONDS = 20
CLIENTS = 8


def main() -> None:
    with a_system() as system:  # one for both: files are dear to make where others were just removed
        for share in (0.05, 1.0):
            asyncio.run(_measure(system, share))


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

    async def post(number: int) -> None:
        is_red = number % round(1 / share) == 0
        started = time.perf_counter()
        sender, content = sending[number % CLIENTS], red if is_red else grey
        while (reply := await sender.post(content, b"%d" % number)).status == 503:
            refused.append(number)
            await asyncio.sleep(reply.retry_after)
        assert reply.status == 200, reply
        answered.append(time.perf_counter() - started)
        if is_red:
            posted[json.loads(reply.body)["image_id"]] = started

    most = await capacity(sending, lambda number: red if number % round(1 / share) == 0 else grey)
    rate = OF_CAPACITY * most
    await _until_quiet(early)
    before = spent()
    await at_rate(rate, SECONDS, post)
    busy = {part: seconds - before.get(part, 0) for part, seconds in spent().items()}
    async with asyncio.timeout(30):
        while posted.keys() - early.keys():  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    for one in sending:
        one.close()
    await runner.cleanup()
    received = {image: early[image] - started for image, started in posted.items()}
    size = "x".join(map(str, SIZE))
    print(f"{share:.0%} of the images of {size} alert; capacity {most:.0f} images/s, offered {rate:.0f}/s")
    print(f"  {len(received)} webhooks, {len(refused)} refusals")
    shares = ", ".join(f"{part} {used / SECONDS:.0%}" for part, used in sorted(busy.items()))
    print(f"  of a core: {shares}")
    _tell("  image posted to answer of RED", answered, None)
    _tell("  image posted to webhook received", list(received.values()), (60, 150))


async def _until_quiet(webhooks: dict[str, float]) -> None:
    """Returns once no webhook has come for a second: those of the capacity's images have been sent."""
    before = -1
    while before < len(webhooks):
        before = len(webhooks)
        await asyncio.sleep(1)


def _tell(title: str, seconds: Sequence[float], goals: tuple[float, float] | None) -> None:
    print(f"{title}: {described(seconds)}")
    if goals:
        told("    p95 / goal", 1000 * quantile(seconds, 95) / goals[0], 1, at_least=False)
        told("    p99 / goal", 1000 * quantile(seconds, 99) / goals[1], 1, at_least=False)
