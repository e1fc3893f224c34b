"""What is counted reaches `red.audit`, whatever Kafka does meanwhile; each act is there once."""

import asyncio
import logging
from collections import Counter

import pytest

from red_common.audit import TOPIC, Act
from red_common.kafka import audit_log
from red_common.kafka.audit_log import AuditWriter
from red_common.kafka.connection import KafkaConnection
from red_stats.kafka.audit_log import acts_since
from red_stats.kafka.topic_admin import ensure_topics
from red_stats.local.kafka import new_kafka
from tests.conftest import free_port
from tests.new_topics import own

BEGINNING = "1970-01-01T00:00:00.000Z"


def an_act():
    return Act(f"key:{own('key')}", "read_as", "/v1/live", "anna")


async def times(connection, acts):
    found = Counter()
    for record in (await acts_since(connection, BEGINNING)).records:
        found[record.who] += record.count
    return [found[act.who] for act in acts]


async def test_what_was_counted_is_written_within_the_interval_and_at_the_stop(kafka):
    connection, acts = KafkaConnection(kafka), [an_act(), an_act()]
    writer = AuditWriter(connection, now=lambda: 0.0, every=0.05)
    async with asyncio.timeout(60), writer.written():
        for _ in range(3):
            writer.count(acts[0])
        while await times(connection, acts) != [3, 0]:
            pass
    writer = AuditWriter(connection, now=lambda: 0.0, every=3600)
    async with writer.written():
        writer.count(acts[1])
    assert await times(connection, acts) == [3, 1]


async def test_a_write_whose_answer_was_lost_is_repeated_and_counts_once(kafka, monkeypatch):
    connection, act = KafkaConnection(kafka), an_act()
    writer = AuditWriter(connection, now=lambda: 0.0, every=3600)
    writer.count(act)
    written = []

    async def unanswered(connection, records, seconds):
        written.append(records)
        await write(connection, records, seconds)
        if len(written) == 1:
            raise TimeoutError

    write = audit_log.write
    monkeypatch.setattr(audit_log, "write", unanswered)
    with pytest.raises(TimeoutError):
        await writer._write(10)
    writer.count(act)
    await writer._write(10)
    await writer._write(10)

    assert written[0] == written[1] != written[2]
    assert await times(connection, [act]) == [2]


async def test_a_topic_that_is_not_there_is_named_with_what_to_do(kafka, monkeypatch):
    monkeypatch.setattr(audit_log, "TOPIC", own("none"))
    with pytest.raises(TimeoutError, match=r"none-.* `red-stats topics`"):
        await audit_log.write(KafkaConnection(kafka), [an_act().once("id", BEGINNING)], seconds=1)


async def test_kafka_may_go_away_and_come_back_and_nothing_is_lost_or_doubled(tmp_path):
    broker = new_kafka(tmp_path, free_port(), free_port())
    connection, act = KafkaConnection(broker.bootstrap), an_act()
    writer = AuditWriter(connection, now=lambda: 0.0, every=0.1)
    async with writer.written():
        writer.count(act)  # before Kafka is there at all
        broker.start()
        try:
            await broker.until_ready()
            await ensure_topics(connection, 1)
            await until_counted(connection, act, 1)
            await asyncio.to_thread(broker.stop)
            for _ in range(20):
                writer.count(act)
                await asyncio.sleep(0.05)
            broker.start()
            await broker.until_ready()
            await until_counted(connection, act, 21)
        finally:
            await asyncio.to_thread(broker.stop)


async def until_counted(connection, act, count):
    async with asyncio.timeout(60):
        while await times(connection, [act]) != [count]:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def test_what_kafka_does_not_take_at_the_stop_is_in_the_log(caplog):
    nowhere = KafkaConnection(f"127.0.0.1:{free_port()}")
    writer = AuditWriter(nowhere, now=lambda: 0.0, every=3600)
    act = an_act()
    with caplog.at_level(logging.ERROR, "red_common"):
        async with asyncio.timeout(20), writer.written():
            writer.count(act)
    assert [TOPIC in line and act.who in line for line in caplog.messages if act.who in line] == [True]
