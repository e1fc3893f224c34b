"""End offsets, whatever happens to the connection."""

import asyncio

import pytest
from aiokafka import AIOKafkaProducer

from red_common.kafka.connection import KafkaConnection
from red_common.kafka.end_offsets import LogEnds
from tests.new_topics import new_topics, own


@pytest.fixture
async def topic(kafka):
    """A topic with one event."""
    name = own("ends")
    await new_topics(kafka, name)
    async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
        await producer.send_and_wait(name, b"1", partition=0)
    return name


def silence(ends, monkeypatch):
    """Makes its open connections never answer."""
    for connection in ends._consumer._client._conns.values():
        monkeypatch.setattr(connection, "send", lambda *_, **__: asyncio.get_running_loop().create_future())


async def test_a_connection_that_died_silently_is_replaced(kafka, topic, monkeypatch):
    ends = LogEnds(KafkaConnection(kafka), answer_seconds=0.5)
    assert await ends.end(topic, 0) == 1
    silence(ends, monkeypatch)

    async with asyncio.timeout(10):
        assert await ends.end(topic, 0) == 1
    await ends.stop()


async def test_a_caller_that_gives_up_leaves_no_dead_connection_to_the_next(kafka, topic, monkeypatch):
    ends = LogEnds(KafkaConnection(kafka), answer_seconds=60)
    assert await ends.end(topic, 0) == 1
    silence(ends, monkeypatch)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await ends.end(topic, 0)

    async with asyncio.timeout(10):
        assert await ends.end(topic, 0) == 1
    await ends.stop()


async def test_it_answers_again_after_it_was_stopped(kafka, topic):
    ends = LogEnds(KafkaConnection(kafka))
    for _ in range(2):
        assert await ends.end(topic, 0) == 1
        await ends.stop()
