"""A transaction that Kafka is not ready for yet asks again soon."""

import asyncio
from types import SimpleNamespace

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.producer import sender

from red_common.kafka.patches import transaction_backoff
from tests.new_topics import new_topics, own


@pytest.fixture
def pauses(monkeypatch):
    """How long the driver has paused since."""
    found = []

    async def sleep(seconds):
        found.append(seconds)
        await asyncio.sleep(seconds)

    monkeypatch.setattr(sender, "asyncio", SimpleNamespace(**vars(asyncio) | {"sleep": sleep}))
    monkeypatch.setattr(sender, "AddPartitionsToTxnHandler", sender.AddPartitionsToTxnHandler)
    transaction_backoff.shorten_transaction_backoff()
    return found


async def test_a_transaction_right_behind_another_asks_again_soon(kafka, pauses):
    topic = own("next-transaction")
    await new_topics(kafka, topic)
    async with AIOKafkaProducer(bootstrap_servers=kafka, transactional_id=topic) as producer:

        async def one():
            async with producer.transaction():
                await producer.send(topic, b"more", partition=0)

        await one()
        pauses.clear()  # it may have waited for the coordinator, or for the topic's leader
        async with asyncio.timeout(30):
            while not pauses:
                await one()

    assert pauses[0] == transaction_backoff.FIRST_SECONDS


def test_a_kafka_that_cannot_write_markers_is_asked_ever_less(monkeypatch):
    monkeypatch.setattr(transaction_backoff._Soon.__base__, "handle_response", lambda self, answer: answer)
    handler = transaction_backoff._Soon(SimpleNamespace(_retry_backoff=0.1), [])
    not_yet = sender.BACKOFF_OVERRIDE

    asked = [handler.handle_response(answer) for answer in (*[not_yet] * 6, 0.1, None, not_yet)]

    assert asked == [0.002, 0.004, 0.008, 0.016, 0.02, 0.02, 0.1, None, 0.002]
