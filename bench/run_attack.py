"""`python -m bench.run_attack WAY RED STATS KAFKA KEY`: a hostile client at work, until it is stopped.

It takes care to cost this machine little itself: what is measured is what it takes from another client.
"""

import asyncio
import contextlib
import itertools
import json
import sys
import time
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp

from bench.load import an_image
from bench.senders import Senders
from bench.system import bearer
from red_common.events import rfc3339
from red_common.kafka.connection import KafkaConnection
from red_stats import topics

HOSTILE: Final = "hostile"
SUBSCRIPTIONS: Final = 100
SPAN: Final = "from=1970-01-01T00:00:00Z&to=9999-01-01T00:00:00Z"
THRESHOLDS: Final = "".join(f"&threshold={n / 100}" for n in range(100))
BEYOND: Final = "&".join(f"at_least={n % 4}:{10**15 + n}" for n in range(100))


class Attack:
    """What every way needs."""

    def __init__(self, session: aiohttp.ClientSession, red: str, stats: str, kafka: str, key: str) -> None:
        self.session, self.red, self.stats, self.kafka, self.key = session, red, stats, kafka, key

    async def call(self, method: str, path: str, **options: Any) -> Any:
        """The answer of RED_STATS, whatever it is; None if there is none."""
        with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
            url = f"{self.stats}{path}"
            async with self.session.request(method, url, headers=bearer(self.key), **options) as answer:
                return await answer.json()
        return None

    async def subscribed(self, url_of: Callable[[int], str], count: int, threshold: float = 0) -> list[str]:
        """The ids of so many subscriptions, which alert about every image; those there were are deleted."""
        for one in (await self.call("GET", "/v1/subscriptions"))["items"]:
            await self.call("DELETE", f"/v1/subscriptions/{one['id']}")
        made = []
        while len(made) < count:
            body = {"webhook_url": url_of(len(made)), "threshold": threshold}
            answer = await self.call("POST", "/v1/subscriptions", json=body)
            if "id" in answer:
                made.append(answer["id"])
            else:
                await asyncio.sleep(0.3)
        return made

    async def had_images(self, minutes: int) -> None:
        """An image in each of the last minutes, as if the client had been there for so long."""
        now = time.time()
        async with KafkaConnection(self.kafka).producer() as producer:
            for minute in range(minutes):
                measured = {
                    "image_id": str(uuid.uuid4()), "client_id": HOSTILE, "red": minute % 100 / 100,
                    "measured_at": rfc3339(datetime.fromtimestamp(now - 60 * minute, UTC)),
                }  # fmt: skip
                await producer.send(topics.MEASUREMENTS, json.dumps(measured).encode(), HOSTILE.encode())

    async def images(self, a_second: float) -> None:
        """Send images for ever."""
        sending, image = Senders(self.red, self.key), an_image(0.5, 1)
        for number in itertools.count():
            await sending.post(image, b"a%d" % number)
            await asyncio.sleep(1 / a_second)

    async def for_ever(self, connections: int, work: Callable[[int], Awaitable[Any]], pause: float) -> None:
        """Repeat work over so many connections, each with a pause (s) after it."""

        async def one(number: int) -> None:
            for count in itertools.count():
                await work(number + connections * count)
                await asyncio.sleep(pause)

        await asyncio.gather(*map(one, range(connections)))


async def listening(host: str, greeting: bytes, again: float | None = None) -> int:
    """A port where everybody is answered with the same bytes, again and again or once, and nothing else."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while again is not None:
                writer.write(greeting)
                await writer.drain()
                await asyncio.sleep(again)
            await reader.read()
            await asyncio.Event().wait()

    server = await asyncio.start_server(handle, host, 0)
    return int(server.sockets[0].getsockname()[1])


async def silent_receivers() -> list[str]:
    """URLs on so many hosts, where nobody is ever answered."""
    hosts = [f"127.0.1.{n + 1}" for n in range(SUBSCRIPTIONS)]
    return [f"http://{host}:{await listening(host, b'')}/" for host in hosts]


async def hanging_webhooks(attack: Attack) -> Awaitable[Any]:
    await attack.subscribed((await silent_receivers()).__getitem__, SUBSCRIPTIONS)
    return attack.images(2)


async def dead_webhooks(attack: Attack) -> Awaitable[Any]:
    await attack.subscribed(lambda n: f"http://127.0.2.{n + 1}:9/", SUBSCRIPTIONS)
    return attack.images(5)


async def endless_continue(attack: Attack) -> Awaitable[Any]:
    port = await listening("127.0.0.3", b"HTTP/1.1 100 Continue\r\n\r\n" * 50, 0)
    await attack.subscribed(lambda n: f"http://127.0.0.3:{port}/{n}", 10)
    return attack.images(2)


async def live(attack: Attack) -> Awaitable[Any]:
    await attack.subscribed(lambda n: f"http://127.0.2.{n + 1}:9/", SUBSCRIPTIONS, threshold=1)
    await attack.had_images(24 * 60)
    return attack.for_ever(32, lambda n: attack.call("GET", "/v1/live"), 0.1)


async def statistics(attack: Attack) -> Awaitable[Any]:
    return attack.for_ever(64, lambda n: attack.call("GET", f"/v1/statistics?{SPAN}{THRESHOLDS}"), 0.1)


async def at_least(attack: Attack) -> Awaitable[Any]:
    return attack.for_ever(400, lambda n: attack.call("GET", f"/v1/live?{BEYOND}"), 0.5)


async def changes(attack: Attack) -> Awaitable[Any]:
    made = await attack.subscribed(lambda n: f"https://example.com/{n}/{'x' * 2000}", SUBSCRIPTIONS)

    async def change(number: int) -> None:
        path = f"/v1/subscriptions/{made[number % len(made)]}"
        await attack.call("PATCH", path, json={"threshold": number % 100 / 100})

    return attack.for_ever(16, change, 0.02)


async def test_events(attack: Attack) -> Awaitable[Any]:
    made = await attack.subscribed((await silent_receivers()).__getitem__, SUBSCRIPTIONS)
    return attack.for_ever(16, lambda n: attack.call("POST", f"/v1/subscriptions/{made[n % 100]}/test"), 0.1)


async def silent_connections(attack: Attack) -> Awaitable[Any]:
    places = [(urlsplit(url).hostname, urlsplit(url).port) for url in (attack.red, attack.stats)]
    held: dict[int, Any] = {}

    async def connect(number: int) -> None:
        with contextlib.suppress(OSError):
            held[number % 3000] = await asyncio.open_connection(*places[number % 2])

    return attack.for_ever(10, connect, 0.01)


async def chunks_after_401(attack: Attack) -> Awaitable[Any]:
    places = [(urlsplit(url).hostname, urlsplit(url).port) for url in (attack.red, attack.stats)]

    async def intrude(number: int) -> None:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection(*places[number % 2])
            writer.write(b"POST /red HTTP/1.1\r\nHost: red\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in range(1000):
                writer.write(b"1\r\nx\r\n" * 1000)
                await writer.drain()
                await asyncio.sleep(0.01)

    return attack.for_ever(8, intrude, 0)


async def slow_bodies(attack: Attack) -> Awaitable[Any]:
    place = urlsplit(attack.red).hostname, urlsplit(attack.red).port
    head = f"POST /red HTTP/1.1\r\nHost: red\r\nAuthorization: Bearer {attack.key}\r\n".encode()
    size = 19 << 20

    async def body(number: int) -> None:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection(*place)
            writer.write(head + b"Content-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % size)
            for _ in range(18 * 2):
                writer.write(b"\xff" * (1 << 19))
                await writer.drain()
                await asyncio.sleep(0.5)
            writer.close()

    return attack.for_ever(48, body, 0)


async def deliveries(attack: Attack) -> Awaitable[Any]:
    await attack.subscribed(lambda n: f"http://127.0.2.{n + 1}:9/", SUBSCRIPTIONS)
    return asyncio.gather(
        attack.images(2),
        attack.for_ever(32, lambda n: attack.call("GET", "/v1/deliveries?limit=1000"), 0.1),
    )


WAYS: Final[dict[str, tuple[str, Callable[[Attack], Awaitable[Awaitable[Any]]]]]] = {
    "hanging": ("100 webhooks that never answer", hanging_webhooks),
    "dead": ("100 webhooks that nobody takes", dead_webhooks),
    "continue": ("10 webhooks with `100 Continue` without end", endless_continue),
    "tests": ("test events of 100 webhooks that never answer", test_events),
    "live": ("`/v1/live` over 32 connections, 100 subscriptions, a day of images", live),
    "statistics": ("`/v1/statistics` over 64 connections, 100 thresholds", statistics),
    "at_least": ("`at_least` beyond the end over 400 connections", at_least),
    "deliveries": ("`/v1/deliveries` over 32 connections", deliveries),
    "changes": ("changes of 100 subscriptions with long URLs over 16 connections", changes),
    "silent": ("3,000 connections that say nothing", silent_connections),
    "chunks": ("chunks of one byte behind a 401 over 8 connections", chunks_after_401),
    "bodies": ("48 slow bodies of 19 MiB", slow_bodies),
}


async def main(way: str, *where: str) -> None:
    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:
        work = await WAYS[way][1](Attack(session, *where))
        print(json.dumps({"begun": way}), flush=True)
        await work


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
