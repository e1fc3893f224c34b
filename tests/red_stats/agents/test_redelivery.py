"""Every batch delivered twice, and cut anew, to the real folds on real Kafka: nothing changes."""

import json
from collections import Counter
from dataclasses import dataclass
from functools import partial

import pytest
from aiokafka import TopicPartition

from red_common.kafka.connection import KafkaConnection
from red_common.kafka.end_offsets import LogEnds
from red_stats import topics
from red_stats.agents.backlogs import Taken, refill
from red_stats.agents.commands import handle_commands
from red_stats.agents.counting import count_measurements
from red_stats.agents.deliveries import enqueue_deliveries
from red_stats.domain.backlogs import Backlog, Limits
from red_stats.domain.delivery_kinds import READERS, of_alert
from red_stats.domain.record_batches import TableChange
from red_stats.kafka import scanner
from red_stats.kafka.changelog_loader import read_to_end
from red_stats.kafka.scanner import LogReader
from red_stats.tables.alert_sequences import SequenceRows
from red_stats.tables.backlogs import Backlogs
from red_stats.tables.command_results import AnswerRows
from red_stats.tables.declarations import changelogs_of, table
from red_stats.tables.digests import Digests
from red_stats.tables.partition_state import PartitionStates
from red_stats.tables.pending_deliveries import PendingRows
from red_stats.tables.subscriptions import ThresholdRows
from red_stats.tables.windows import WindowRows
from tests.builders import Numbers, a_batch, a_client_of, a_record, an_alert, measured
from tests.new_topics import new_topics, own

PARTITION = 1
AMPLE = Limits(endpoint=100, own=5, shared=500)


def count_images(readings, rows, *, partition, horizon):
    """A fold of a table: images by client, each new count written to a topic."""
    new = Counter(readings.clients[client] for client in readings.client.tolist())
    changed = {client.encode(): b"%d" % (rows.get(client, 0) + n) for client, n in new.items()}
    return TableChange(changed, [(topics.COUNTS, key, value) for key, value in changed.items()])


def fatal(reason):
    raise AssertionError(reason)


@pytest.fixture
async def states(kafka, monkeypatch):
    """Partition 1 of an app with topics of its own; those it writes to are given to the folds."""
    app_id = own("redelivery")
    for name in ("ALERTS", "COMMAND_RESULTS", "DELIVERIES"):
        monkeypatch.setattr(topics, name, f"{app_id}-{name.lower()}")

    monkeypatch.setattr(topics, "COUNTS", f"{app_id}-counts", raising=False)

    @dataclass
    class Tables:
        windows: WindowRows = table(f"{app_id}-windows", WindowRows)
        alert_sequences: SequenceRows = table(f"{app_id}-alert-sequences", SequenceRows)
        thresholds: ThresholdRows = table(f"{app_id}-thresholds", ThresholdRows)
        answers: AnswerRows = table(f"{app_id}-answers", AnswerRows)
        pending: PendingRows = table(f"{app_id}-pending", PendingRows)
        backlogs: Backlogs = table(f"{app_id}-backlogs", Backlogs)
        digests: Digests = table(f"{app_id}-digests", Digests)
        images: Numbers = table(f"{app_id}-images", Numbers, count_images)

    written_to = (topics.ALERTS, topics.COMMAND_RESULTS, topics.DELIVERIES, topics.COUNTS)
    await new_topics(kafka, *written_to, *changelogs_of(Tables).values(), partitions=4)
    made = PartitionStates(KafkaConnection(kafka), "live", Tables, fatal=fatal, app_id=app_id)
    await made.rebalance([PARTITION], 1)
    yield made
    await made.close()


async def written(kafka, topic, partition=PARTITION):
    found, ends = [], LogEnds(KafkaConnection(kafka))
    tp = TopicPartition(topic, partition)
    try:  # the committed end may lie behind a transaction just acknowledged
        await read_to_end(KafkaConnection(kafka), {tp: found.append}, await ends.ends([tp]))
    finally:
        await ends.stop()
    return [json.loads(record.value) for record in found]


async def twice_and_cut_anew(fold, topic, records):
    """The batch, the batch again, a part of it, and one that begins before it and goes on behind it."""
    for some in (records[:6], records[:6], records[3:5], records[:4], records):
        assert await fold(a_batch(topic, PARTITION, some))


def a_subscribe(client, command_id):
    return {
        "command": "subscribe", "command_id": command_id, "client_id": client, "threshold": 0.5,
        "webhook_url": "https://example.com/h",
    }  # fmt: skip


async def known(rows):
    """Every version can be found."""


NO_INTERVALS = {"find": lambda client_id, subscription_id: None, "until_known": known}


async def none_ever(partition, client_ids):
    return {}


def a_handler(states):
    async def end_of(topic, partition):
        return 0

    return partial(
        handle_commands, states=states, partitions=4, end_of=end_of, seal=lambda c, s: "sealed",
        opens=lambda c, s, secret: True, url_refusal=lambda url: None,
        ever_subscribed=none_ever,
    )  # fmt: skip


async def subscribed(states, client):
    records = [
        a_record(json.dumps(a_subscribe(client, f"c-{n}")).encode(), n, client.encode()) for n in range(8)
    ]
    await twice_and_cut_anew(a_handler(states), topics.SUBSCRIPTION_COMMANDS, records)


async def test_commands_are_answered_once(kafka, states):
    client = a_client_of(PARTITION)

    await subscribed(states, client)

    answers = await written(kafka, topics.COMMAND_RESULTS)
    assert [answer["command_id"] for answer in answers] == [f"c-{n}" for n in range(8)]
    assert len(states.held[PARTITION].tables.thresholds[client].subscriptions) == 8


async def test_counts_alerts_and_seq_stand_once(kafka, states):
    client = a_client_of(PARTITION)
    await subscribed(states, client)
    count = partial(
        count_measurements,
        states=states,
        read=LogReader(4, scanner.load()).readings,
        retention_ms=90_000_000,
    )

    await twice_and_cut_anew(
        count, topics.MEASUREMENTS, [measured(client, n / 10, offset=n) for n in range(10)]
    )

    [(_, window)] = states.held[PARTITION].tables.windows.items()
    assert (window.images, window.red_sum) == (10, 45_000)
    assert set(window.subscriptions.values()) == {(10, 4)}
    alerts = await written(kafka, topics.ALERTS)
    assert len({alert["id"] for alert in alerts}) == len(alerts) == 8 * 4
    for subscription in {alert["subscription_id"] for alert in alerts}:
        told = [(a["seq"], a["position"]) for a in alerts if a["subscription_id"] == subscription]
        assert told == [(1, "1:6"), (2, "1:7"), (3, "1:8"), (4, "1:9")]
    assert states.held[PARTITION].tables.images == {client: 10}
    assert await written(kafka, topics.COUNTS) == [6, 10]


async def test_an_alert_is_enqueued_once(kafka, states, monkeypatch):
    monkeypatch.setitem(READERS, topics.ALERTS, of_alert)
    pushed, begun = [], []
    enqueue = partial(
        enqueue_deliveries,
        states=states,
        begin=lambda partition, rows: begun.extend(row.id for row in rows),
        push=lambda partition, rows: pushed.extend(row.id for row in rows),
        limits=AMPLE,
        **NO_INTERVALS,
    )
    records = [a_record(an_alert(), n, b"client") for n in range(8)]

    await twice_and_cut_anew(enqueue, topics.ALERTS, records)

    assert begun == pushed
    assert len(set(pushed)) == len(pushed) == len(states.held[PARTITION].tables.pending) == 8
    assert [event["state"] for event in await written(kafka, topics.DELIVERIES)] == ["pending"] * 8


async def test_an_alert_beyond_the_limit_waits_in_the_log_and_gets_its_row_once(kafka, states, monkeypatch):
    monkeypatch.setitem(READERS, topics.ALERTS, of_alert)
    pushed = []
    push = lambda partition, rows: pushed.extend(row.id for row in rows)  # noqa: E731
    enqueue = partial(
        enqueue_deliveries, states=states, begin=lambda *_: None, push=push,
        limits=Limits(endpoint=3, own=1, shared=15), **NO_INTERVALS,
    )  # fmt: skip
    records = [a_record(an_alert(subscription_id="s"), n, b"client") for n in range(8)]
    names = [of_alert(record.key, record.value, record.timestamp).id for record in records]

    await twice_and_cut_anew(enqueue, topics.ALERTS, records)

    tables = states.held[PARTITION].tables
    assert list(tables.pending) == pushed == names[:3]
    assert tables.backlogs == {"s": Backlog(client_id="client", first=3, last=7, alerts=5)}
    assert [event["id"] for event in await written(kafka, topics.DELIVERIES)] == names

    for first, upto in ((3, 5), (3, 5), (5, 5), (5, 8), (3, 5), (5, 8)):
        rows = [of_alert(one.key, one.value, one.timestamp) for one in records[first:upto]]
        assert await refill(PARTITION, {"s": Taken(first, upto, rows)}, push, states=states)

    tables = states.held[PARTITION].tables
    assert (list(tables.pending), tables.backlogs) == (names, {})
    assert Counter(pushed) >= Counter(names)
    assert len(await written(kafka, topics.DELIVERIES)) == 8
    await states.rebalance([PARTITION], 2)
    tables = states.held[PARTITION].tables
    assert (sorted(tables.pending), tables.backlogs) == (sorted(names), {})


async def test_the_answer_to_a_misplaced_command_stands_where_its_client_looks(kafka, states):
    """Under another key, or on another partition: and it answers no command of the client's own."""
    at_home, elsewhere = a_client_of(PARTITION), a_client_of(3)
    handle = a_handler(states)

    def record(client, key, offset, command_id):
        return a_record(json.dumps(a_subscribe(client, command_id)).encode(), offset, key.encode())

    records = [
        record(at_home, elsewhere, 0, "a"), record(elsewhere, elsewhere, 1, "b"),
        record(elsewhere, at_home, 2, "c"), record(at_home, at_home, 3, "a"),
    ]  # fmt: skip
    await twice_and_cut_anew(handle, topics.SUBSCRIPTION_COMMANDS, records)

    home = [told(answer) for answer in await written(kafka, topics.COMMAND_RESULTS)]
    assert home == [("a", at_home, "key_mismatch"), ("a", at_home, None)]
    there = [told(answer) for answer in await written(kafka, topics.COMMAND_RESULTS, 3)]
    assert there == [("b", elsewhere, "partition_mismatch"), ("c", elsewhere, "key_mismatch")]
    tables = states.held[PARTITION].tables
    assert {client: list(given) for client, given in tables.answers.items()} == {at_home: ["a"]}


def told(answer):
    return answer["command_id"], answer["client_id"], answer.get("problem", {}).get("code")
