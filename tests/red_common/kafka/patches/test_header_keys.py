"""Header keys that are no UTF-8 are read on by every consumer of ours."""

import os

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.record.memory_records import MemoryRecords

from red_common.kafka.patches import header_keys
from tests.new_topics import new_topics, own
from tests.raw_headers import produce_raw_header


@pytest.fixture
def accepting(monkeypatch):
    monkeypatch.setattr(fetcher, "MemoryRecords", MemoryRecords)
    header_keys.tolerate_non_utf8_header_keys()


async def test_a_header_key_of_any_bytes_is_told_and_its_neighbours_are_untouched(kafka, accepting):
    topic, sent = own("header-keys"), [os.urandom(8) for _ in range(3)]
    await new_topics(kafka, topic)
    async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
        first = await producer.send_and_wait(
            topic, sent[0], headers=[("trace", b"1"), ("none", None)], partition=0
        )
    await produce_raw_header(kafka, topic, 0, b"k", sent[1])
    async with AIOKafkaProducer(bootstrap_servers=kafka, compression_type="gzip") as producer:
        await producer.send_and_wait(topic, sent[2], partition=0)

    tp, read = TopicPartition(topic, 0), []
    async with AIOKafkaConsumer(bootstrap_servers=kafka, enable_auto_commit=False) as consumer:
        consumer.assign([tp])
        consumer.seek(tp, first.offset)
        while len(read) < 3:
            read += (await consumer.getmany(tp, timeout_ms=1000)).get(tp, [])
    assert [record.value for record in read] == sent
    assert [record.offset for record in read] == [first.offset + n for n in range(3)]
    assert read[1].key == b"k"
    assert [tuple(record.headers) for record in read] == [
        (("trace", b"1"), ("none", None)), (("\\xff\\xfe", b"1"), ("fine", None)), (),
    ]  # fmt: skip
