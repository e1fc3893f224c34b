"""Answers of Kafka received in place: every connection of the process goes through this."""

import asyncio
import logging
import os
import struct

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition, conn
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from hypothesis import given
from hypothesis import strategies as st

from red_common.kafka.patches.header_keys import _Records
from red_common.kafka.patches.zero_copy_receive import LARGE, _Receiver, enable_zero_copy_receive
from red_stats.kafka.packed_batches import PackedFetches, _Batches
from tests.new_topics import new_topics, own


def receiver():
    return _Receiver(asyncio.get_running_loop().create_future(), asyncio.StreamReader(), loop=None)


def arrive(to, content):
    """As a transport hands it over: as much at once as there is room for."""
    while content:
        room = to.get_buffer(-1)
        some = content[: len(room)]
        room[: len(some)] = some
        to.buffer_updated(len(some))
        content = content[len(some) :]


@given(st.lists(st.binary(max_size=300), max_size=5), st.lists(st.integers(1, 90)))
def test_frames_come_whole_and_in_order_however_they_are_cut_on_the_way(frames, cuts):
    async def run():
        to = receiver()
        stream = b"".join(struct.pack(">i", len(frame)) + frame for frame in frames)
        for size in cuts:
            arrive(to, stream[:size])
            stream = stream[size:]
        arrive(to, stream)
        assert [bytes(await to.frame()) for _ in frames] == frames
        to.eof_received()
        with pytest.raises(EOFError):
            await to.frame()

    asyncio.run(run())


@pytest.mark.parametrize("error", [None, ConnectionResetError()])
async def test_who_waits_for_a_frame_is_told_that_the_connection_ended(error):
    to = receiver()
    waiting = asyncio.create_task(to.frame())
    await asyncio.sleep(0)
    arrive(to, struct.pack(">i", 9) + b"half")
    to.connection_lost(error)
    with pytest.raises(EOFError):
        await waiting


async def fetched(kafka, topic):
    """The batches of a topic's only partition."""
    tp = TopicPartition(topic, 0)
    async with AIOKafkaConsumer(bootstrap_servers=kafka, max_partition_fetch_bytes=8 << 20) as consumer:
        consumer.assign([tp])
        consumer._fetcher._records = PackedFetches(consumer._fetcher._records)
        end = (await consumer.end_offsets([tp]))[tp]
        consumer.seek(tp, 0)
        found = []
        while not found or found[-1].offset < end - 1:
            found += (await consumer.getmany(tp, timeout_ms=1000)).get(tp, [])
        return found


async def produced(kafka, sizes):
    topic, values = own("receiving"), [os.urandom(size) for size in sizes]
    await new_topics(kafka, topic)
    async with AIOKafkaProducer(bootstrap_servers=kafka, max_request_size=4 << 20) as producer:
        for value in values:
            await producer.send_and_wait(topic, value, partition=0)
    return topic, values


async def test_large_answers_stay_where_they_were_received_and_small_ones_keep_nothing_alive(kafka):
    enable_zero_copy_receive()
    large, values = await produced(kafka, [200_000] * 10)
    batches = await fetched(kafka, large)
    assert [record.value for chunk in batches for record in chunk.records] == values
    assert (
        max(len(chunk.content.obj) for chunk in batches) > 200_000 + LARGE
    )  # one object for several of them

    small, values = await produced(kafka, [100])
    [chunk] = await fetched(kafka, small)
    assert chunk.records[0].value == values[0]
    assert isinstance(chunk.content.obj, bytes)
    assert len(chunk.content.obj) < 1000


async def test_a_debug_log_can_show_what_was_received(kafka, caplog):
    enable_zero_copy_receive()
    topic, values = await produced(kafka, [100_000])
    with caplog.at_level(logging.DEBUG, conn.log.name):
        [chunk] = await fetched(kafka, topic)
    assert chunk.records[0].value == values[0]
    assert any("FetchResponse" in record.getMessage() for record in caplog.records)


def a_chunk(content):
    """As a fetch has it."""
    return _Batches(_Records(content)).next_batch()


def a_batch(values):
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1 << 20)
    for number, value in enumerate(values):
        builder.append(number, 1_795_677_631_615, b"key", value, [])
    return bytes(builder.build())


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=5), st.data())
def test_a_changed_byte_does_not_pass_the_checksum(values, data):
    content = a_batch(values)
    assert a_chunk(content).validate_crc()
    at = data.draw(st.integers(17, len(content) - 1))
    changed = content[at] ^ data.draw(st.integers(1, 255))
    assert not a_chunk(content[:at] + bytes([changed]) + content[at + 1 :]).validate_crc()
