"""Every batch delivered twice, and cut anew, to the real folds on real Kafka: nothing changes."""

import json
import uuid
from functools import partial

import pytest
from aiokafka import TopicPartition

from red_common.kafka.connection import KafkaConnection
from red_common.kafka.end_offsets import LogEnds
from red_stats import topics
from red_stats.agents.commands import obey_commands
from red_stats.agents.counting import count_measurements
from red_stats.agents.deliveries import READERS, enqueue_deliveries
from red_stats.domain.deliveries import of_alert
from red_stats.kafka import scanner
from red_stats.kafka.changelog_loader import read_to_end
from red_stats.kafka.scanner import LogReader
from red_stats.tables.alert_sequences import SequenceRows
from red_stats.tables.command_results import AnswerRows
from red_stats.tables.partition_state import Ownership, TableSpec
from red_stats.tables.pending_deliveries import PendingRows
from red_stats.tables.subscriptions import ThresholdRows
from red_stats.tables.windows import WindowRows
from tests.builders import a_batch, a_client_of, a_record, measured
from tests.new_topics import new_topics, own

PARTITION = 1


def fatal(reason):
    raise AssertionError(reason)


@pytest.fixture
async def ownership(kafka, monkeypatch):
    """Partition 1 of an app with topics of its own; the names of the real ones are given to the folds."""
    app_id = own("redelivery")
    names = {
        "WINDOWS_CHANGELOG": WindowRows, "ALERT_SEQUENCES_CHANGELOG": SequenceRows,
        "SUBSCRIPTIONS": ThresholdRows, "ANSWERS_CHANGELOG": AnswerRows, "PENDING_CHANGELOG": PendingRows,
        "ALERTS": None, "COMMAND_RESULTS": None, "DELIVERIES": None,
    }  # fmt: skip
    for name in names:
        monkeypatch.setattr(topics, name, f"{app_id}-{name.lower()}")
    await new_topics(kafka, *(getattr(topics, name) for name in names), partitions=4)
    tables = ("windows", "alert_sequences", "thresholds", "answers", "pending")
    specs = [
        TableSpec(table, getattr(topics, name), rows)
        for table, (name, rows) in zip(tables, names.items(), strict=False)
    ]
    made = Ownership(KafkaConnection(kafka), app_id, specs, fatal=fatal)
    await made.on_rebalance([PARTITION], 1)
    yield made
    await made.close()


async def written(kafka, topic):
    found, ends = [], LogEnds(KafkaConnection(kafka))
    tp = TopicPartition(topic, PARTITION)
    try:  # the committed end may lie behind a transaction just acknowledged
        await read_to_end(KafkaConnection(kafka), {tp: found.append}, await ends.ends([tp]))
    finally:
        await ends.stop()
    return [json.loads(record.value) for record in found]


async def twice_and_cut_anew(fold, topic, records):
    """The batch, the batch again, a part of it, and one that begins before it and goes on behind it."""
    for some in (records[:6], records[:6], records[3:5], records[:4], records):
        assert await fold(a_batch(topic, PARTITION, some))


async def subscribed(ownership, client):
    async def end_of(topic, partition):
        return 0

    command = {
        "command": "subscribe", "command_id": "c", "client_id": client, "threshold": 0.5,
        "webhook_url": "https://example.com/h",
    }  # fmt: skip
    obey = partial(
        obey_commands, ownership=ownership, partitions=4, end_of=end_of, seal=lambda c, s: "sealed",
        opens=lambda c, s, secret: True, url_refusal=lambda url: None,
    )  # fmt: skip
    records = [
        a_record(json.dumps(command | {"command_id": f"c-{n}"}).encode(), n, client.encode())
        for n in range(8)
    ]
    await twice_and_cut_anew(obey, topics.SUBSCRIPTION_COMMANDS, records)


async def test_commands_are_answered_once(kafka, ownership):
    client = a_client_of(PARTITION)

    await subscribed(ownership, client)

    answers = await written(kafka, topics.COMMAND_RESULTS)
    assert [answer["command_id"] for answer in answers] == [f"c-{n}" for n in range(8)]
    assert len(ownership.owned[PARTITION].rows["thresholds"][client].subscriptions) == 8


async def test_counts_alerts_and_seq_stand_once(kafka, ownership):
    client = a_client_of(PARTITION)
    await subscribed(ownership, client)
    count = partial(
        count_measurements,
        ownership=ownership,
        read=LogReader(4, scanner.load()).readings,
        retention_ms=90_000_000,
    )

    await twice_and_cut_anew(
        count, topics.MEASUREMENTS, [measured(client, n / 10, offset=n) for n in range(10)]
    )

    [window] = ownership.owned[PARTITION].rows["windows"].of(client).values()
    assert (window.images, window.red_sum) == (10, 45_000)
    assert set(window.subscriptions.values()) == {(10, 4)}
    alerts = await written(kafka, topics.ALERTS)
    assert len({alert["id"] for alert in alerts}) == len(alerts) == 8 * 4
    for subscription in {alert["subscription_id"] for alert in alerts}:
        told = [(a["seq"], a["position"]) for a in alerts if a["subscription_id"] == subscription]
        assert told == [(1, "1:6"), (2, "1:7"), (3, "1:8"), (4, "1:9")]


async def test_an_alert_is_enqueued_once(kafka, ownership, monkeypatch):
    monkeypatch.setitem(READERS, topics.ALERTS, of_alert)
    pushed, begun = [], []
    enqueue = partial(
        enqueue_deliveries,
        ownership=ownership,
        begin=lambda partition, rows: begun.extend(row.id for row in rows),
        push=lambda partition, rows: pushed.extend(row.id for row in rows),
    )
    alerts = [
        {"id": str(uuid.uuid4()), "subscription_id": str(uuid.uuid4()), "version": 1, "measured_at": "x"}
        for _ in range(8)
    ]
    records = [a_record(json.dumps(alert).encode(), n, b"client") for n, alert in enumerate(alerts)]

    await twice_and_cut_anew(enqueue, topics.ALERTS, records)

    assert begun == pushed
    assert len(set(pushed)) == len(pushed) == len(ownership.owned[PARTITION].rows["pending"]) == 8
    assert [event["state"] for event in await written(kafka, topics.DELIVERIES)] == ["pending"] * 8
