"""The one reader of `red.alerts` of a process, on real Kafka: when it runs, and what its users get."""

import asyncio

import pytest

from red_common.kafka.connection import KafkaConnection, TopicPartition
from red_common.kafka.partitioner import partition_of
from red_stats import topics
from red_stats.domain.erasure import never
from red_stats.kafka.range_reader import RangeGone, read_in_steps
from red_stats.web import alert_tail
from red_stats.web.alert_tail import AlertTail
from tests.conftest import PARTITIONS
from tests.system.test_alert_stream import raised


@pytest.fixture(scope="module")
def kafka(unverified_kafka):
    return unverified_kafka


def place_of(position):
    partition, _, offset = position.partition(":")
    return int(partition), int(offset)


async def taken(reader, count):
    found = []
    async with asyncio.timeout(30):
        while len(found) < count:
            found += [event.offset for event in await reader.some()]
    return found


async def test_it_runs_from_the_first_stream_until_some_time_after_the_last_and_again(kafka):
    tail = AlertTail(KafkaConnection(kafka), never, linger=0.2)
    for _ in range(2):
        async with tail.followed():
            async with tail.followed():
                first = tail._follower
            assert tail._follower is first
            with tail.reader("tail-a", partition_of("tail-a", PARTITIONS), None) as reader:
                made = await raised(kafka, "tail-a", 2)
                assert await taken(reader, 2) == [place_of(position)[1] for position, _ in made]
                assert tail.feeds(reader)
        async with asyncio.timeout(10):
            while tail._follower.running:  # noqa: ASYNC110 nothing tells of it
                await asyncio.sleep(0.02)
        assert not tail.feeds(reader)
    await tail.stop()


async def test_the_past_comes_in_pieces_and_goes_over_into_what_is_raised(kafka, monkeypatch):
    monkeypatch.setattr(alert_tail, "PIECE_BYTES", 2000)
    monkeypatch.setattr(alert_tail, "AT_ONCE", 10)
    tail = AlertTail(KafkaConnection(kafka), never)
    made = await raised(kafka, "tail-b", 60)
    partition, first = place_of(made[0][0])
    async with tail.followed():
        with tail.reader("tail-b", partition, first + 1) as reader:
            assert 0 < len(await reader.some()) < 59
            made += await raised(kafka, "tail-b", 3)
        with tail.reader("tail-b", partition, first + 1) as reader:
            made += await raised(kafka, "tail-b", 3)
            assert await taken(reader, 65) == [place_of(position)[1] for position, _ in made[1:]]
    await tail.stop()


async def test_an_end_is_behind_everything_that_has_been_seen(kafka):
    tail = AlertTail(KafkaConnection(kafka), never)
    [(position, _)] = await raised(kafka, "tail-c", 1, transaction="commit")
    partition, offset = place_of(position)
    async with tail.followed():
        with tail.reader("tail-c", partition, offset) as reader:
            await taken(reader, 1)
            assert await tail.end(partition) > offset
    await tail.stop()


async def test_a_range_whose_beginning_is_gone_is_not_read_as_if_it_were_whole(kafka):
    steps = read_in_steps(KafkaConnection(kafka), TopicPartition(topics.ALERTS, 0), -1, 1, whole=True)
    with pytest.raises(RangeGone):
        await anext(steps)
