"""The foundation on real Kafka: one transaction for outputs, state and mark; fencing; loading."""

import asyncio
import gc
import json
from dataclasses import dataclass

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import IllegalOperation, ProducerFenced

from red_common.kafka.connection import KafkaConnection
from red_stats.domain import dead_letters
from red_stats.kafka.changelog_loader import read_to_end
from red_stats.kafka.transactions import Fenced, PartitionWriter, WriteFailed
from red_stats.tables.declarations import table
from red_stats.tables.partition_state import Effects, Mark, PartitionStates
from tests.builders import Numbers, a_record
from tests.new_topics import new_topics, own

SOURCE = "source"


class Died(Exception):
    """Stands for the process that a fatal error ends."""


def fatal(reason):
    raise Died(reason)


def changelog(app_id, which="a"):
    return f"{app_id}-{which}-changelog"


@pytest.fixture
async def app_id(kafka):
    """An app of its own, with an output topic and the changelogs of its two tables."""
    name = own("test")
    await new_topics(kafka, changelog(name), changelog(name, "b"), partitions=4, cleanup_policy="compact")
    await new_topics(kafka, outputs(name), partitions=4)
    return name


@pytest.fixture
async def taken(kafka, app_id):
    """Makes states of partition 2, each as a process of its own would."""
    made = []

    async def take(generation=1):
        @dataclass
        class Tables:
            windows: Numbers = table(changelog(app_id), Numbers)
            alert_sequences: Numbers = table(changelog(app_id, "b"), Numbers)

        states = PartitionStates(KafkaConnection(kafka), "live", Tables, fatal=fatal, app_id=app_id)
        made.append(states)
        await states.rebalance([2], generation)
        return states

    yield take
    for states in made:
        await states.close()


def outputs(app_id):
    return f"{app_id}-outputs"


def setting(app_id, value, offset):
    """A build that skips what the mark has passed, like every fold of ours."""
    name, source = f"{app_id}-row", f"{app_id}-source"

    async def build(state):
        if offset <= state.mark(source).offset:
            return None
        rows = state.tables.windows
        return Effects(
            [
                (changelog(app_id), name.encode(), b"%d" % value),
                (outputs(app_id), app_id.encode(), b"%d" % value),
            ],
            {source: Mark(offset, 0)},
            lambda: rows.update({name: value}),
        )

    return build


async def until_decided(kafka, tp):
    """A commit is answered before its marker is written: readers see it a moment later."""
    ends = []
    for level in ("read_committed", "read_uncommitted"):
        async with AIOKafkaConsumer(bootstrap_servers=kafka, isolation_level=level) as consumer:
            ends.append((await consumer.end_offsets([tp]))[tp])
    if ends[0] < ends[1]:
        await asyncio.sleep(0.02)
        await until_decided(kafka, tp)


async def committed(kafka, topic, key, partition=2):
    found = []
    tp = TopicPartition(topic, partition)
    await until_decided(kafka, tp)

    def apply(record):
        if record.key == key.encode():
            found.append(int(record.value))

    await read_to_end(KafkaConnection(kafka), {tp: apply})
    return found


async def test_outputs_state_and_mark_are_there_together_after_a_restart(kafka, taken, app_id):
    first = await taken()
    assert await first.transact(2, setting(app_id, 7, 10))
    await first.close()

    second = await taken()

    state = second.held[2]
    assert state.tables.windows[f"{app_id}-row"] == 7
    assert state.mark(f"{app_id}-source") == Mark(10, 0)
    assert await committed(kafka, outputs(app_id), app_id) == [7]


async def test_a_redelivered_batch_changes_nothing(kafka, taken, app_id):
    states = await taken()
    await states.transact(2, setting(app_id, 7, 10))
    await states.transact(2, setting(app_id, 7, 10))

    assert await committed(kafka, outputs(app_id), app_id) == [7]


async def test_a_predecessor_is_fenced_and_must_die(kafka, taken, app_id):
    zombie = await taken()
    owner = await taken()

    with pytest.raises(Died, match="another process"):
        await zombie.transact(2, setting(app_id, 1, 10))

    assert await owner.transact(2, setting(app_id, 2, 10))
    assert await committed(kafka, outputs(app_id), app_id) == [2]


@pytest.mark.parametrize("known", [True, False], ids=["topics known", "topics unknown"])
@pytest.mark.parametrize("size", [1, 300_000], ids=["small", "several batches"])
async def test_a_fenced_writer_leaves_no_error_to_be_reported_later(kafka, app_id, size, known):
    reported = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    zombie, owner = (
        PartitionWriter(KafkaConnection(kafka), app_id, 2),
        PartitionWriter(KafkaConnection(kafka), app_id, 2),
    )
    names = (outputs(app_id), changelog(app_id))
    await zombie.start()
    if known:
        await zombie.commit([(name, b"k", b"v") for name in names])
    await owner.start()

    with pytest.raises(Fenced):
        await zombie.commit([(name, b"k", bytes(size)) for name in names for _ in range(5)])
    await zombie.stop()
    await owner.stop()
    del zombie
    gc.collect()

    assert reported == []


async def test_what_a_predecessor_left_open_is_aborted(kafka, taken, app_id):
    writer = PartitionWriter(KafkaConnection(kafka), app_id, 2)
    await writer.start()
    await writer._producer.begin_transaction()
    await writer._producer.send_and_wait(outputs(app_id), b"1", app_id.encode(), partition=2)

    owner = await taken()
    await owner.transact(2, setting(app_id, 2, 0))

    assert await committed(kafka, outputs(app_id), app_id) == [2]
    with pytest.raises((ProducerFenced, IllegalOperation)):
        await writer._producer.commit_transaction()
    await writer.stop()


async def test_every_assigned_partition_is_reloaded_also_one_that_was_kept(kafka, taken, app_id):
    """A worker that slept through a rebalance believes that nothing changed."""
    sleeper = await taken(generation=1)
    await sleeper.transact(2, setting(app_id, 1, 10))
    meanwhile = await taken(generation=2)
    await meanwhile.transact(2, setting(app_id, 5, 20))
    await meanwhile.close()

    await sleeper.rebalance([2], 3)

    assert sleeper.held[2].tables.windows[f"{app_id}-row"] == 5
    assert await sleeper.transact(2, setting(app_id, 6, 30), generation=3)


async def test_a_batch_of_an_older_generation_is_dropped(taken, app_id):
    states = await taken(generation=1)
    await states.rebalance([2], 2)

    assert not await states.transact(2, setting(app_id, 1, 10), generation=1)
    assert not await states.transact(3, setting(app_id, 1, 10))


async def test_a_rebalance_waits_for_the_transaction_under_way(taken, app_id):
    states = await taken(generation=1)
    begun, go = asyncio.Event(), asyncio.Event()
    inner = setting(app_id, 1, 10)

    async def slow(state):
        begun.set()
        await go.wait()
        return await inner(state)

    folding = asyncio.create_task(states.transact(2, slow, generation=1))
    await begun.wait()
    rebalance = asyncio.create_task(states.rebalance([2], 2))
    go.set()

    assert await folding
    await rebalance
    assert states.held[2].mark(f"{app_id}-source").offset == 10


@pytest.mark.parametrize("reaches_kafka", [True, False])
async def test_a_transaction_of_unknown_outcome_is_decided_again_from_what_kafka_has(
    kafka, taken, app_id, reaches_kafka
):
    states = await taken()
    writer = states.held[2].writer
    commit = writer.commit

    async def loses_the_answer(records, before_commit, **places):
        if reaches_kafka:
            await commit(records, before_commit, **places)
        raise WriteFailed("the connection broke")

    writer.commit = loses_the_answer

    assert await states.transact(2, setting(app_id, 4, 10))

    assert states.held[2].writer is not writer
    assert await committed(kafka, outputs(app_id), app_id) == [4]
    assert states.held[2].tables.windows[f"{app_id}-row"] == 4


async def test_a_large_batch_is_one_transaction(kafka, taken, app_id):
    states = await taken()
    records = [(outputs(app_id), app_id.encode(), b"%0900d" % n) for n in range(3000)]

    async def build(state):
        return Effects(records, {f"{app_id}-source": Mark(1, 0)}, lambda: None)

    await states.transact(2, build)

    assert await committed(kafka, outputs(app_id), app_id) == list(range(3000))


async def test_a_transaction_that_never_ends_fails_and_its_successor_goes_on(kafka, app_id):
    """As after a kill -9 of Kafka, when a producer can wait for an answer that never comes."""
    stuck = PartitionWriter(KafkaConnection(kafka), app_id, 2, commit_seconds=0.5)
    await stuck.start()
    stuck._producer._sender._do_add_partitions_to_txn = lambda tps: asyncio.Event().wait()
    async with asyncio.timeout(20):
        with pytest.raises(WriteFailed):
            await stuck.commit([(outputs(app_id), b"k", b"lost")])
        await stuck.stop()

        successor = PartitionWriter(KafkaConnection(kafka), app_id, 2)
        await successor.start()
        await successor.commit([(outputs(app_id), b"k", b"kept")])
        await successor.stop()
    found, tp = [], TopicPartition(outputs(app_id), 2)
    await until_decided(kafka, tp)
    await read_to_end(KafkaConnection(kafka), {tp: lambda record: found.append(record.value)})
    assert found == [b"kept"]


async def test_a_mark_that_fell_ends_the_process_before_anything_is_folded_behind_the_hole(
    kafka, taken, app_id, monkeypatch
):
    """Kafka can lose a transaction that it had acknowledged (docs/adr/0007)."""
    states = await taken()
    assert await states.transact(2, setting(app_id, 1, 10))
    assert await states.transact(2, setting(app_id, 2, 20))
    async with AIOKafkaProducer(bootstrap_servers=kafka) as stranger:
        lower = msgspec.json.encode(Mark(10, 0))
        await stranger.send_and_wait(changelog(app_id), lower, f"!{app_id}-source".encode(), partition=2)

    async def failing(*_, **places):
        raise WriteFailed("unknown outcome")

    monkeypatch.setattr(states.held[2].writer, "commit", failing)
    with pytest.raises(Died, match=r"folded to 20, now 10"):
        await states.transact(2, setting(app_id, 3, 30))

    again = await taken()
    assert again.held[2].mark(f"{app_id}-source").offset == 10


@pytest.fixture
async def narrow_letters(kafka, monkeypatch):
    """A topic of dead letters that takes less than the largest of them."""
    name = own("letters")
    await new_topics(kafka, name, partitions=4, max_message_bytes="300000")
    monkeypatch.setattr(dead_letters, "DEAD_LETTERS", name)
    return name


def lettering(app_id, letters_topic, content):
    async def build(state):
        if state.mark(f"{app_id}-source").offset >= 10:
            return None
        letter = dead_letters.dead_letter("t", 2, a_record(content, 10, b"k"), "why")
        assert letter[0] == letters_topic
        return Effects([letter], {f"{app_id}-source": Mark(10, 0)}, lambda: None)

    return build


async def test_a_dead_letter_that_its_topic_refuses_is_cut_and_the_partition_goes_on(
    kafka, taken, app_id, narrow_letters
):
    states = await taken()

    async with asyncio.timeout(30):
        assert await states.transact(2, lettering(app_id, narrow_letters, b"x" * 900_000))
        assert await states.transact(2, setting(app_id, 7, 20))

    found = []
    tp = TopicPartition(narrow_letters, 2)
    await until_decided(kafka, tp)
    await read_to_end(KafkaConnection(kafka), {tp: lambda record: found.append(json.loads(record.value))})
    assert [(letter["offset"], letter["size"]) for letter in found] == [(10, 900_001)]
    assert states.held[2].mark(f"{app_id}-source").offset == 20


async def test_what_no_topic_takes_ends_the_process_with_the_reason_and_is_not_tried_for_ever(
    kafka, taken, app_id
):
    states = await taken()

    async def build(state):
        return Effects([(outputs(app_id), b"k", b"x" * 2_000_000)], {}, lambda: None)

    async with asyncio.timeout(30):
        with pytest.raises(Died, match=f"{outputs(app_id)} 2000001.*max.message.bytes"):
            await states.transact(2, build)
