"""A thousand streams of alerts on one worker: its memory, and what webhooks and events take meanwhile.

The other client, whose webhooks are timed, has no stream; the clients of the streams have alerts, too.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from bench.deliver.setup import a_receiver, a_system_that_delivers, an_operator, told_p95, until_idle
from bench.hostile import A_SECOND, an_honest_client
from bench.load import an_image, at_rate, capacity, described, known_key, quantile
from bench.runs import told
from bench.senders import Senders
from bench.system import System, memory

CLIENTS, EACH = 50, 20
WARM_SECONDS, SECONDS = 4.0, 15.0
OF_CAPACITY = 0.6  # of the images a second that the machine takes of the clients that have streams
ALERTING = 21  # of so many images one alerts, and is an event on EACH streams
GOAL_MIB, GOAL_P95, GOAL_EVENT_MS = 50.0, 1.5, 60.0
RED, GREY = an_image(0.5, 4), an_image(0.0, 5)


class Reader:
    """Streams of one client over plain connections; when each event came, by image."""

    def __init__(self, url: str, key: str) -> None:
        self._place, self._key = urlsplit(url), key
        self._writers: list[asyncio.StreamWriter] = []  # one that nobody holds is closed
        self.came: dict[str, list[float]] = {}

    async def open(self, count: int) -> list[asyncio.Task[None]]:
        """The tasks that read so many streams, all of which have begun."""
        return [asyncio.create_task(self._read(await self._begun())) for _ in range(count)]

    def close(self) -> None:
        for writer in self._writers:
            writer.close()

    async def _begun(self) -> asyncio.StreamReader:
        reader, writer = await asyncio.open_connection(self._place.hostname, self._place.port)
        self._writers.append(writer)
        writer.write(
            f"GET /v1/alerts/stream HTTP/1.1\r\nHost: {self._place.netloc}\r\n"
            f"Authorization: Bearer {self._key}\r\n\r\n".encode()
        )
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.split(b" ")[1] == b"200", head
        return reader

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            if line.startswith(b"data: "):
                at = time.perf_counter()
                self.came.setdefault(json.loads(line[6:])["image_id"], []).append(at)


def main() -> None:
    with a_system_that_delivers() as system, a_receiver() as receiver:
        asyncio.run(_measure(system, receiver.url(0)))


async def _measure(system: System, url: str) -> None:
    clients = [f"streams-{number}" for number in range(CLIENTS)]
    keys = [await known_key(system, client) for client in clients]
    async with an_honest_client(system) as other, an_operator(system) as subscribed:
        for client in clients:
            await subscribed(client, url)
        sending = [Senders(system.red, key) for key in keys]
        readers = [Reader(system.stats, key) for key in keys]
        await other.seen(WARM_SECONDS)
        most = await capacity(sending, _image)
        rate = OF_CAPACITY * most
        await until_idle()
        without = (await asyncio.gather(other.seen(SECONDS), _posted(sending, "a", rate)))[0]
        await asyncio.sleep(1)
        before = _worker_mib(system)
        async with _streams(readers):
            mib = _worker_mib(system) - before
            beside, posted = await asyncio.gather(other.seen(SECONDS), _posted(sending, "b", rate))
            mib = max(mib, _worker_mib(system) - before)
            await asyncio.sleep(1)
    took = [
        at - posted[image]
        for one in readers
        for image, all_of in one.came.items()
        for at in all_of
        if image in posted
    ]
    print(f"{CLIENTS * EACH:,} streams; capacity {most:.0f} images/s, offered {rate:.0f}/s")
    print(f"  {len(took):,} events of {len(posted)} alerts: {described(took)}")
    assert len(took) == EACH * len(posted), "an event is missing"
    told("  p95 from image to event / ms", 1000 * quantile(took, 95), GOAL_EVENT_MS, at_least=False)
    told("  MiB of the worker for them", mib, GOAL_MIB, at_least=False)
    print(f"  webhook of another client, {A_SECOND} images/s: p95 {without} before, {beside} meanwhile")
    told_p95(without.took, beside.took, GOAL_P95)


def _image(number: int) -> bytes:
    return GREY if number % ALERTING else RED


async def _posted(sending: list[Senders], tail: str, rate: float) -> dict[str, float]:
    """When the images that alert of the clients with streams were posted, by image."""
    found: dict[str, float] = {}

    async def post(number: int) -> None:
        at = time.perf_counter()
        content, tagged = _image(number), f"{tail}{number}".encode()
        while (reply := await sending[number % CLIENTS].post(content, tagged)).status == 503:  # noqa: ASYNC110
            await asyncio.sleep(reply.retry_after)
        assert reply.status == 200, reply
        if content is RED:
            found[json.loads(reply.body)["image_id"]] = at

    await at_rate(rate, SECONDS, post)
    return found


@asynccontextmanager
async def _streams(readers: list[Reader]) -> AsyncIterator[None]:
    tasks = [task for reader in readers for task in await reader.open(EACH)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for reader in readers:
            reader.close()


def _worker_mib(system: System) -> float:
    return sum(memory(one) for one in system.parts()["worker"])
