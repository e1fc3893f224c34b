"""The clients of one scenario: one in each partition, each with a key and a subscription."""

import asyncio
import itertools
import json
import re
import uuid

import aiohttp
from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import murmur2

from tests.conftest import PARTITIONS
from tests.services import a_key, bearer

AWAY = (aiohttp.ClientError, OSError, TimeoutError)


class Client:
    """Asks both services with its key."""

    def __init__(self, session, client_id, key, stats_urls):
        self.session, self.client_id, self.headers = session, client_id, bearer(key)
        self._stats_urls = stats_urls

    async def ask(self, method, path, seconds=60, **options):
        """The answer of whichever worker answers with success first; AssertionError after `seconds`."""
        said = "nobody was asked"
        deadline = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < deadline:
            for url in self._stats_urls():
                status, body = await self._call(method, url + path, **options)
                if 200 <= status < 300:
                    return body
                said = f"{status} {body}"
            await asyncio.sleep(0.05)
        raise AssertionError(f"{method} {path}: {said}")

    async def _call(self, method, url, **options):
        try:
            timeout = aiohttp.ClientTimeout(total=10)
            async with self.session.request(
                method, url, headers=self.headers, timeout=timeout, **options
            ) as answer:
                raw = await answer.read()
                return answer.status, json.loads(raw) if raw else None
        except (*AWAY, ValueError) as error:
            return 0, repr(error)


async def new_clients(session, bootstrap, stats_urls, name):
    """One client in each partition; keys that both services will know within a second."""
    word = re.sub("[^a-z0-9]+", "-", f"{name[:20].lower()}-{uuid.uuid4().hex[:8]}")
    made = {}
    for number in itertools.count():
        client_id = f"{word}-{number}"
        made.setdefault((murmur2(client_id.encode()) & 0x7FFFFFFF) % PARTITIONS, client_id)
        if len(made) == PARTITIONS:
            break
    keys = [await a_key(bootstrap, client_id) for _, client_id in sorted(made.items())]
    return [Client(session, client_id, key, stats_urls) for client_id, key, _ in keys]


async def produce(bootstrap, records, **options):
    """(topic, key, value) or (topic, key, value, partition, headers): their (topic, partition, offset)."""
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True, **options) as producer:
        sent = []
        for topic, key, value, *rest in records:
            partition, headers = rest or (None, None)
            sent.append(await producer.send(topic, value, key, partition=partition, headers=headers or []))
        return [(done.topic, done.partition, done.offset) for done in [await one for one in sent]]
