"""Many alerts at once, such as a backfill raises, hold up nobody else."""

import asyncio
import json
from collections import Counter
from functools import partial
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from red_stats import topics
from red_stats.agents.deliveries import SLICE, TURN, enqueue_deliveries, in_slices
from red_stats.domain.backlogs import Limits
from red_stats.tables.deliver import DeliverTables
from red_stats.tables.partition_state import PartitionState
from tests.builders import (
    NOW,
    a_batch,
    a_client_of,
    a_record,
    a_subscription,
    a_subscription_id,
    an_alert,
)

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


NAME = a_subscription_id()
FEW = Limits(endpoint=3, own=1, shared=3)


def webhooks_of(states, log):
    """How many webhooks each alert is in, or will be once the endpoint takes them."""
    tables, found = states.state.tables, Counter()
    for row in tables.pending.values():
        found.update(range(row.first_seq, row.last_seq + 1))
    if (interval := tables.digests.get(NAME)) is not None and interval.count:
        found.update(range(interval.first_seq, interval.last_seq + 1))
    if (backlog := tables.backlogs.get(NAME)) is not None:
        found.update(
            json.loads(record.value)["seq"]
            for record in log
            if backlog.first <= record.offset <= backlog.last
        )
    return found


@given(
    steps=st.lists(
        st.tuples(st.sampled_from([0, 1, 2]), st.sampled_from([0, 400, 1500]), st.booleans()), max_size=30
    )
)
async def test_an_alert_is_in_one_webhook_whatever_interval_its_endpoint_has_while_it_hangs(steps):
    """Each step: `min_interval` now, ms until the next alert, and whether the batch ends with it."""
    states, seconds, log, batch, at = States(), 0, [], [], NOW

    async def fold():
        subscription = a_subscription(id=NAME, min_interval=seconds)
        assert await enqueue_deliveries(
            a_batch(topics.ALERTS, PARTITION, batch),
            states=states,
            begin=lambda *_: None,
            push=lambda *_: None,
            limits=FEW,
            find=lambda client_id, subscription_id: subscription,
            until_known=known,
        )

    for number, (seconds, gap, is_last) in enumerate(steps):  # noqa: B007 `fold` reads the interval
        at += gap
        alert = an_alert(
            subscription_id=NAME, seq=number + 1, prev_seq=number, position=f"{PARTITION}:{number}"
        )
        batch.append(a_record(alert, number, CLIENT.encode(), at))
        if is_last or number + 1 == len(steps):
            await fold()
            log += batch
            batch = []

    assert webhooks_of(states, log) == Counter(range(1, len(steps) + 1))
