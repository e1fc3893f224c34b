"""A batch is unpacked up to a limit, whatever it is packed with; beyond it a stand-in takes its place."""

import os
import resource

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.record import default_records
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from red_common.kafka import patches
from red_common.kafka.patches import bounded_unpacking
from red_common.kafka.patches.header_keys import _Records
from tests.new_topics import new_topics, own

CODECS = {"gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
MOST = 1 << 20


@pytest.fixture
def bounded():
    bounded_unpacking.bound_unpacking(MOST)
    yield
    bounded_unpacking.bound_unpacking()


def a_batch_of(values, codec):
    builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, -1, 1 << 30)
    for number, value in enumerate(values):
        builder.append(number, 1000 + number, b"key", value, [])
    return bytes(builder.build())


def read(content):
    return [(r.offset, r.key, r.value) for r in _Records(content).next_batch()]


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
@pytest.mark.parametrize("content", [b"", b"x", b"\0" * (MOST - 1000), os.urandom(300_000)])
def test_what_fits_is_unpacked_as_before(bounded, codec, content):
    assert read(a_batch_of([content, b"last"], codec)) == [(0, b"key", content), (1, b"key", b"last")]


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
def test_what_is_too_much_reads_as_one_record_that_says_so(bounded, codec):
    [(offset, key, value)] = read(a_batch_of([b"small", b"\0" * MOST, b"small"], codec))

    assert (offset, key) == (2, None)
    assert b"unpacks to more than" in value
    with pytest.raises(bounded_unpacking.TooMuch):
        default_records._DefaultRecordBatchPy(a_batch_of([b"\0" * MOST], codec))._maybe_uncompress()


@pytest.mark.system
def test_a_gigabyte_in_a_few_bytes_takes_no_gigabyte():
    patches.apply()
    bomb = a_batch_of([b"\0" * (1 << 30)], CODECS["zstd"])
    assert len(bomb) < 1 << 20
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    [(offset, _, value)] = read(bomb)

    assert (offset, b"more than" in value) == (0, True)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10


@pytest.mark.parametrize("codec", CODECS)
async def test_a_consumer_reads_on_behind_it(kafka, codec):
    topic = own("bombs")
    await new_topics(kafka, topic)
    bounded_unpacking.bound_unpacking(MOST)
    try:
        async with AIOKafkaProducer(
            bootstrap_servers=kafka, compression_type=codec, max_request_size=4 << 20
        ) as producer:
            for value in (b"before", b"\0" * (2 * MOST), b"behind"):
                await producer.send_and_wait(topic, value, partition=0)
        found = []
        async with AIOKafkaConsumer(bootstrap_servers=kafka, enable_auto_commit=False) as consumer:
            consumer.assign([TopicPartition(topic, 0)])
            consumer.seek(TopicPartition(topic, 0), 0)
            while len(found) < 3:
                for records in (await consumer.getmany(timeout_ms=1000)).values():
                    found += records
    finally:
        bounded_unpacking.bound_unpacking()

    assert [record.offset for record in found] == [0, 1, 2]
    assert [record.value for record in found][::2] == [b"before", b"behind"]
    assert b"unpacks to more than" in found[1].value
