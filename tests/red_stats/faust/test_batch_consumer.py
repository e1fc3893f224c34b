"""The batched consumer inside a real Faust app on real Kafka: it touches private API, which these hold."""

import asyncio
import uuid
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from red_common.kafka.connection import KafkaConnection
from red_stats.faust.app import StatsApp
from red_stats.faust.role import Role
from red_stats.settings import Settings
from red_stats.tables.declarations import table
from red_stats.tables.partition_state import Effects, Mark, PartitionStates
from red_stats.topics import Topic
from tests.builders import Numbers
from tests.new_topics import new_topics, own

PARTITIONS = 4


class Place:
    """An app id with a source topic and a changelog of its own, and what was folded of it."""

    def __init__(self, bootstrap, folder):
        self.bootstrap = bootstrap
        self.name = own("batching")
        self.source, self.changelog = f"{self.name}-source", f"{self.name}-rows-changelog"
        self.settings = Settings(data=folder, kafka=bootstrap, session_timeout=6)
        self.batches = []

    async def create(self):
        await new_topics(self.bootstrap, self.source, self.changelog, partitions=PARTITIONS)

    async def produced(self, values, partition, *, compression=None, transactional=None):
        producer = AIOKafkaProducer(
            bootstrap_servers=self.bootstrap, compression_type=compression, transactional_id=transactional
        )
        async with producer:
            if transactional:
                await producer.begin_transaction()
            sent = [await producer.send(self.source, v, b"k", partition=partition) for v in values]
            done = [await future for future in sent]
            if transactional:
                await (
                    producer.abort_transaction if "abort" in transactional else producer.commit_transaction
                )()
        return [one.offset for one in done]

    async def until(self, holds, seconds=20):
        async with asyncio.timeout(seconds):
            while not holds(self):  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def until_shared(self, apps, seconds=30):
        """Until each of two members owns something and together they own all."""
        async with asyncio.timeout(seconds):
            while True:
                first, second = (set(app.role.states.held) for app in apps.values())
                if first and second and first.isdisjoint(second) and len(first | second) == PARTITIONS:
                    return
                await asyncio.sleep(0.02)

    def values(self, partition=None):
        return [r.value for b in self.batches if partition in (None, b.partition) for r in b.records]

    async def committed(self, partition):
        async with AIOKafkaConsumer(bootstrap_servers=self.bootstrap, group_id=self.name) as consumer:
            return await consumer.committed(TopicPartition(self.source, partition))

    @asynccontextmanager
    async def app(self, fold=None):
        """A running app; `fold(batch)` says whether to acknowledge."""

        def fatal(reason):
            raise AssertionError(reason)

        @dataclass
        class Tables:
            rows: Numbers = table(self.changelog, Numbers)

        async def folded(batch):
            self.batches.append(batch)
            return fold is None or await fold(batch)

        folder = self.settings.data / uuid.uuid4().hex
        folder.mkdir()
        settings = self.settings.model_copy(update={"data": folder})
        states = PartitionStates(
            KafkaConnection(self.bootstrap), "live", Tables, fatal=fatal, app_id=self.name
        )
        app = StatsApp(settings, Role(states, folds={Topic(self.source): folded}))
        app.finalize()
        await app.start()
        try:
            yield app
        finally:
            await app.stop()


@pytest.fixture
async def place(kafka, tmp_path):
    place = Place(kafka, tmp_path)
    await place.create()
    return place


def numbers(start, end):
    return [b"%d" % n for n in range(start, end)]


async def test_what_a_fetch_brings_for_a_partition_is_one_event(place):
    await place.produced(numbers(0, 500), 1)
    await place.produced(numbers(500, 600), 3)

    async with place.app():
        await place.until(lambda p: len(p.values()) == 600)

    assert place.values(1) == numbers(0, 500)
    assert place.values(3) == numbers(500, 600)
    assert len(place.batches) < 20
    assert [r.offset for r in place.batches[0].records] == list(range(len(place.batches[0].records)))
    assert {b.size for b in place.batches} == {len(b.records) for b in place.batches}


async def test_a_batch_knows_how_much_the_log_has_behind_it(place):
    await place.produced([bytes(10_000)] * 1000, 2)  # more than one fetch brings

    async with place.app():
        await place.until(lambda p: len(p.values()) == 1000)

    assert len(place.batches) > 1
    assert [b.lag for b in place.batches] == [999 - b.last_offset for b in place.batches]


async def test_what_is_acknowledged_is_committed_and_nothing_else(place):
    await place.produced(numbers(0, 10), 0)
    await place.produced(numbers(0, 10), 1)

    async def only_partition_0(batch):
        return batch.partition == 0

    async with place.app(only_partition_0) as app:
        await place.until(lambda p: len(p.values()) == 20)
        await app.consumer.force_commit()

        assert await place.committed(0) == 10
        assert await place.committed(1) is None


async def test_a_restart_goes_on_at_the_mark_whatever_was_committed(place):
    """Committed offsets are a hint: both ahead of the mark and behind it they change nothing."""
    await place.produced(numbers(0, 20), 2)

    async with place.app() as app:
        await place.until(lambda p: len(p.values()) == 20)
        await app.consumer.force_commit()
        assert await app.role.states.transact(2, marking(place, 7))
    place.batches.clear()

    async with place.app():
        await place.until(lambda p: len(p.values()) == 12)
    assert place.values() == numbers(8, 20)


def marking(place, offset):
    async def build(owned):
        return Effects([], {place.source: Mark(offset, 0)}, lambda: None)

    return build


async def test_nothing_is_left_to_recover_though_a_changelog_ends_in_a_control_record(place):
    """Stock recovery waits for ever for the commit marker at the end of a changelog."""
    async with place.app() as app:
        await place.until(lambda p: 2 in app.role.states.held)
        await app.role.states.transact(2, marking(place, 0))

    async with place.app() as app, asyncio.timeout(15):
        await app.tables.recovery.completed.wait()
        [table] = app.tables.values()
        for tp, end in app.role.states.ends.items():
            assert table.data.persisted_offset(tp) == end - 1
        assert app.conf.table_standby_replicas == 0, "a standby's partition would fence its owner"


async def test_aborted_records_and_control_records_never_arrive(place):
    await place.produced(numbers(0, 3), 0, transactional=f"{place.name}-good")
    await place.produced(numbers(3, 6), 0, transactional=f"{place.name}-abort")
    await place.produced(numbers(6, 9), 0)

    async with place.app():
        await place.until(lambda p: len(p.values()) == 6)

    assert place.values() == [*numbers(0, 3), *numbers(6, 9)]


@pytest.mark.parametrize("compression", ["gzip", "snappy", "lz4", "zstd"])
async def test_whatever_a_client_compresses_with_can_be_read(place, compression):
    await place.produced(numbers(0, 200), 1, compression=compression)

    async with place.app():
        await place.until(lambda p: len(p.values()) == 200)

    assert place.values() == numbers(0, 200)


async def test_a_paused_partition_waits_and_the_others_go_on(place):
    async with place.app() as app:
        await place.until(lambda p: len(app.role.states.held) == PARTITIONS)
        tp = next(tp for tp in app.consumer.assignment() if (tp.topic, tp.partition) == (place.source, 0))
        app.pause(tp)
        await place.produced(numbers(0, 5), 0)
        await place.produced(numbers(0, 5), 1)
        await place.until(lambda p: len(p.values(1)) == 5)
        assert place.values(0) == []

        app.resume(tp)
        await place.until(lambda p: len(p.values(0)) == 5)


async def test_two_members_share_the_partitions_and_every_record_is_folded_once(place):
    """Also the mistake with standbys: either member would fence the other and end."""
    folded = []

    async def fold(batch, app):
        async def build(owned):
            mark = owned.mark(place.source).offset
            fresh = [r for r in batch.records if r.offset > mark]
            if not fresh:
                return None
            return Effects(
                [], {place.source: Mark(batch.last_offset, 0)}, lambda: folded.extend(r.value for r in fresh)
            )

        return await app.role.states.transact(batch.partition, build, generation=batch.generation)

    apps = {}
    async with place.app(lambda batch: fold(batch, apps["first"])) as apps["first"]:
        await place.produced(numbers(0, 100), 0)
        await place.produced(numbers(100, 200), 3)
        await place.until(lambda p: len(folded) == 200)
        async with place.app(lambda batch: fold(batch, apps["second"])) as apps["second"]:
            await place.until_shared(apps)
            for partition in range(PARTITIONS):
                start = 200 + 50 * partition
                await place.produced(numbers(start, start + 50), partition)
            await place.until(lambda p: len(folded) >= 400)
    assert sorted(folded, key=int) == numbers(0, 400)


async def test_what_was_fetched_after_a_seek_outlives_the_resumption_of_the_flow(place):
    """Faust resumes once more after it has sought, and would empty its streams; nobody seeks again then."""
    async with place.app() as app:
        waiting = app.FlowControlQueue(maxsize=10, clear_on_resume=True)
        await waiting.put("a batch")

        app.flow_control.suspend()
        app.flow_control.resume()

        assert waiting.get_nowait() == "a batch"
