"""The load: images over HTTP by several clients, and events straight onto the topic for more of them."""

import asyncio
import io
import itertools
import json
import random
import time
import uuid
from datetime import UTC, datetime

import aiohttp
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from PIL import Image

from red_service.publisher import abandon
from red_stats import topics

RETRIED = (409, 429, 503)
IN_FLIGHT = 48
UNKNOWN = "unknown_outcome"


def jpegs():
    """Small real images, from none to all red."""
    found = []
    for part in range(9):
        image = Image.new("RGB", (64, 64), (255, 255, 255))
        image.paste((255, 0, 0), (0, 0, 64, part * 8))
        target = io.BytesIO()
        image.save(target, "JPEG", quality=95, subsampling=0)
        found.append(target.getvalue())
    return found


class HttpLoad:
    """Images of one client at a steady rate, however slow the answers are.

    Four of five carry an Idempotency-Key and are retried until they are acknowledged; the others
    are sent once, and what no answer told about them stays open.
    """

    def __init__(self, client, ledger, urls, rate, plain=5):
        self._client, self.ledger, self._urls, self._rate, self._plain = client, ledger, urls, rate, plain
        self._images = jpegs()
        self._tasks = set()

    async def run(self):
        """Until cancelled; what is under way goes on."""
        for number in itertools.count():
            if len(self._tasks) < IN_FLIGHT:
                key = None if number % self._plain == 0 else str(uuid.uuid4())
                task = asyncio.create_task(self.one(key, random.choice(self._images)))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            await asyncio.sleep(1 / self._rate)

    async def drained(self, seconds=90):
        """Everything is acknowledged, or open for ever."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=seconds)
            for task in late:
                self.ledger.odd.append(f"not acknowledged within {seconds} s after the fault")
                task.cancel()

    async def one(self, key, image):
        """Send one image; with a key, until it is acknowledged. Its position."""
        headers = self._client.headers | {"Content-Type": "image/jpeg"}
        if key:
            headers["Idempotency-Key"] = key
        while True:
            status, body = await self._post(headers, image)
            if status == 200:
                self.ledger.ack(body["image_id"], body["position"], body["red"])
                return body["position"]
            if status not in (0, *RETRIED):
                self.ledger.odd.append(f"{status} {body}")
                return None
            if not key:
                self.ledger.unnamed += status == 0 or body.get("code") == UNKNOWN
                return None
            await asyncio.sleep(0.3)

    async def _post(self, headers, image):
        url = random.choice(self._urls())
        try:
            timeout = aiohttp.ClientTimeout(total=30)
            async with self._client.session.post(
                f"{url}/red", data=image, headers=headers, timeout=timeout
            ) as answer:
                return answer.status, json.loads(await answer.read())
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            return 0, {}


class DirectLoad:
    """Events of many clients by a producer of its own; a failure gets a new producer and new events."""

    def __init__(self, bootstrap, ledgers, rate):
        self._bootstrap, self._ledgers, self._rate = bootstrap, ledgers, rate
        self.failures = []
        self._tasks = set()
        self._producer = None

    async def run(self):
        """Until cancelled; what is under way goes on."""
        pause = 0.05
        for tick in itertools.count(1):
            due = int(self._rate * pause * tick) - int(self._rate * pause * (tick - 1))
            if self._producer is None:
                await self._new_producer()
            ready = self._producer is not None and len(self._tasks) < 1000
            for _ in range(due if ready else 0):
                task = asyncio.create_task(self._one(self._producer, random.choice(self._ledgers)))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            await asyncio.sleep(pause)

    async def drained(self, seconds=15):
        """Everything is acknowledged, or open for ever: nobody answers for a producer that was given up."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=seconds)
            for task in late:
                task.cancel()
        if self._producer is not None:
            await abandon(self._producer)

    async def _new_producer(self):
        producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap, enable_idempotence=True, request_timeout_ms=20_000
        )
        try:
            await producer.start()
        except (KafkaError, OSError):
            await abandon(producer)
        else:
            self._producer = producer

    async def _one(self, producer, ledger):
        event = an_event(ledger.client_id)
        ledger.maybe.add(event["image_id"])
        try:
            value, key = json.dumps(event).encode(), ledger.client_id.encode()
            done = await (await producer.send(topics.MEASUREMENTS, value, key))
        except (KafkaError, OSError) as error:
            if self._producer is producer:
                self._producer = None
                self.failures.append(repr(error))
                await abandon(producer)
            return
        position = f"{done.partition}:{done.offset}" if done.offset >= 0 else None
        ledger.ack(event["image_id"], position, event["red"])


def an_event(client_id, red=None):
    """A measurement; one of ten was measured up to 20 minutes ago."""
    late = random.random() * 1200 if random.random() < 0.1 else 0
    at = datetime.fromtimestamp(time.time() - late, UTC).isoformat(timespec="milliseconds")
    return {
        "image_id": str(uuid.uuid4()),
        "client_id": client_id,
        "measured_at": at.replace("+00:00", "Z"),
        "red": random.randrange(10_001) / 10_000 if red is None else red,
    }
