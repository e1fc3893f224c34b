"""Many alerts at once, such as a backfill raises, hold up nobody else."""

import asyncio
from functools import partial
from types import SimpleNamespace

import pytest

from red_stats import topics
from red_stats.agents.deliveries import SLICE, TURN, enqueue_deliveries, in_slices
from red_stats.domain.backlogs import Limits
from red_stats.tables.deliver import DeliverTables
from red_stats.tables.partition_state import PartitionState
from tests.builders import a_batch, a_client_of, a_record, an_alert

PARTITION = 1
CLIENT = a_client_of(PARTITION)
CHANGELOGS = {"pending": "pending", "backlogs": "backlogs", "digests": "digests"}


async def known(rows):
    """Every version can be found."""


class States:
    """A partition whose transactions all succeed; `commits` are the offsets of their marks."""

    def __init__(self):
        self.changelogs = CHANGELOGS
        self.state = PartitionState(PARTITION, DeliverTables(), 1)
        self.commits = []
        self.refusals = 0

    async def transact(self, partition, build, *, generation):
        if self.refusals:
            self.refusals -= 1
            return False
        if (effects := await build(self.state)) is not None:
            effects.apply()
            self.state.committed(effects.marks)
            self.commits.append(effects.marks[topics.ALERTS].offset)
        return True


def alerts(start, end):
    """The records of a record batch."""
    key = CLIENT.encode()
    return [a_record(an_alert(seq=n + 1, prev_seq=n, position=f"1:{n}"), n, key) for n in range(start, end)]


def in_record_batches(*records):
    batches = [a_batch(topics.ALERTS, PARTITION, some) for some in records]
    return batches[0]._replace(batches=[one for batch in batches for one in batch.batches])


@pytest.fixture
def place():
    place = SimpleNamespace(states=States(), queued=[], begun=[])

    fold = partial(
        enqueue_deliveries,
        states=place.states,
        begin=lambda partition, rows: place.begun.extend(row.first_seq for row in rows),
        push=lambda partition, rows: place.queued.extend(row.first_seq for row in rows),
        limits=Limits(endpoint=10**6, own=10**6, shared=10**6),
        find=lambda client_id, subscription_id: None,
        until_known=known,
    )
    place.enqueue = partial(in_slices, fold=fold)
    return place


async def test_what_is_fetched_together_is_committed_in_slices(place):
    records = [alerts(n * SLICE, (n + 1) * SLICE) for n in range(3)]

    assert await place.enqueue(in_record_batches(*records))

    assert place.states.commits == [SLICE - 1, 2 * SLICE - 1, 3 * SLICE - 1]
    assert place.queued == list(range(1, 3 * SLICE + 1))


async def test_small_record_batches_share_a_transaction(place):
    assert await place.enqueue(in_record_batches(*[alerts(n, n + 1) for n in range(20)]))

    assert place.states.commits == [19]


async def test_a_slice_that_cannot_be_committed_is_the_last(place):
    batch = in_record_batches(alerts(0, SLICE), alerts(SLICE, 2 * SLICE))
    place.states.refusals = 1

    assert not await place.enqueue(batch)

    assert (place.queued, place.states.commits) == ([], [])


async def test_others_have_their_turns_while_alerts_are_read(place):
    turns = 0

    async def other():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    assert await place.enqueue(in_record_batches(alerts(0, 10 * TURN)))
    task.cancel()

    assert turns >= 10
