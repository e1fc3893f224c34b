"""Load on RED: as much as it takes, or at a rate whatever becomes of the images before."""

import asyncio
import io
import time
from collections.abc import Awaitable, Callable, Sequence

import aiohttp
import numpy as np
from PIL import Image

from bench.senders import Senders
from bench.system import System, until_known

SIZE = (640, 420)
CONNECTIONS = 16  # that find the capacity
CAPACITY_SECONDS, WARM_SECONDS = 8.0, 8.0  # Kafka's JVM still compiles while it warms up


def an_image(red_share: float, seed: int) -> bytes:
    """A JPEG of noise, the left of it red."""
    width, height = SIZE
    noise = np.random.default_rng(seed).integers(0, 60, (height // 4, width // 4, 3), dtype=np.uint8)
    pixels = noise.repeat(4, axis=0).repeat(4, axis=1)
    pixels[:, : int(width * red_share), 0] = 230
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, "JPEG", quality=85)
    return target.getvalue()


async def known_key(system: System, client: str) -> str:
    """A new key of a client, which RED follows already."""
    key = await asyncio.to_thread(system.key, client)
    async with aiohttp.ClientSession() as session:
        await until_known(session, f"{system.red}/red/images/x", key)
    return key


async def at_rate(rate: float, seconds: float, work: Callable[[int], Awaitable[None]]) -> None:
    """Open loop: each starts at its time, whatever became of the others; returns when all have ended."""
    start = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(int(rate * seconds)):
            await asyncio.sleep(max(0, start + number / rate - time.perf_counter()))
            group.create_task(work(number))  # type: ignore[arg-type]


async def capacity(sending: Sequence[Senders], content_of: Callable[[int], bytes]) -> float:
    """Images a second that are answered 200 when CONNECTIONS always have one under way; of a warm system."""
    start = time.perf_counter()
    counted_from, end = start + WARM_SECONDS, start + WARM_SECONDS + CAPACITY_SECONDS
    done = 0

    async def connection(number: int) -> None:
        nonlocal done
        count = 0
        while time.perf_counter() < end:
            count += 1
            content = content_of(number + CONNECTIONS * count)
            reply = await sending[number % len(sending)].post(content, b"c%d %d" % (number, count))
            done += reply.status == 200 and time.perf_counter() > counted_from
            await asyncio.sleep(reply.retry_after)

    await asyncio.gather(*map(connection, range(CONNECTIONS)))
    return done / (time.perf_counter() - counted_from)


def quantile(seconds: Sequence[float], percent: float) -> float:
    return float(np.percentile(seconds, percent)) if seconds else float("nan")


def described(seconds: Sequence[float]) -> str:
    """The usual percentiles in ms."""
    return ", ".join(f"p{percent} {1000 * quantile(seconds, percent):.1f} ms" for percent in (50, 95, 99))
