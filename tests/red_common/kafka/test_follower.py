"""Following a topic: its end is asked for without delay, and what was committed before has been applied."""

import asyncio

import pytest
from aiokafka import AIOKafkaProducer

from red_common.kafka.connection import KafkaConnection
from red_common.kafka.follower import Follower
from tests.new_topics import new_topics, own


@pytest.fixture
async def topic(kafka):
    name = own("following")
    await new_topics(kafka, name, partitions=4)
    return name


async def test_a_question_is_not_answered_behind_a_fetch_that_waits_for_records(kafka, topic):
    follower = Follower(KafkaConnection(kafka), topic, lambda record: None)
    await follower.start()
    loop, seconds = asyncio.get_running_loop(), []
    for _ in range(10):
        started = loop.time()
        await follower.caught_up()  # half a second each on the connection that fetches
        seconds.append(loop.time() - started)
    await follower.stop()

    assert sorted(seconds)[5] < 0.25


async def test_what_was_committed_before_the_question_has_been_applied(kafka, topic):
    found = []
    follower = Follower(
        KafkaConnection(kafka), topic, lambda record: found.append(record.value), from_end=True
    )
    await follower.start()
    async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
        for number in range(20):
            await producer.send_and_wait(topic, b"%d" % number)
            await follower.caught_up()
            assert found[-1] == b"%d" % number
    await follower.stop()

    assert len(found) == 20
