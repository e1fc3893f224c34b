"""A transaction that Kafka is not ready for yet asks again soon."""

import asyncio
from types import SimpleNamespace

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.producer import sender

from red_service import next_transaction
from tests.new_topics import new_topics, own


@pytest.fixture
def pauses(monkeypatch):
    """How long the driver has paused since."""
    found = []

    async def sleep(seconds):
        found.append(seconds)
        await asyncio.sleep(seconds)

    monkeypatch.setattr(sender, "asyncio", SimpleNamespace(**vars(asyncio) | {"sleep": sleep}))
    monkeypatch.setattr(sender, "BACKOFF_OVERRIDE", sender.BACKOFF_OVERRIDE)
    next_transaction.ask_soon()
    return found


async def test_a_transaction_right_behind_another_asks_again_soon(kafka, pauses):
    topic = own("next-transaction")
    await new_topics(kafka, topic)
    async with AIOKafkaProducer(bootstrap_servers=kafka, transactional_id=topic) as producer:
        pauses.clear()  # it may have waited for the coordinator
        async with asyncio.timeout(30):
            while not pauses:
                async with producer.transaction():
                    await producer.send(topic, b"more", partition=0)

    assert set(pauses) == {next_transaction.SECONDS}
