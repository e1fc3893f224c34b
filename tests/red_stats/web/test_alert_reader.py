"""Readers of alerts beside a log: each gets its alerts in order, once, whenever it joins or falls behind."""

import asyncio
from types import SimpleNamespace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from red_stats.domain.erasure import Erased, never
from red_stats.web.alert_reader import AlertReader, Fanout, event_of
from tests.builders import an_alert

A, B = "a", "b"


def a_record(offset, client_id=A, value=None, partition=1):
    value = an_alert(id=str(UUID(int=offset, version=4)), position=f"1:{offset}") if value is None else value
    return SimpleNamespace(partition=partition, offset=offset, key=client_id.encode(), value=value)


class Log:
    """One partition: records at offsets with holes, and a fan-out that is behind the end."""

    def __init__(self, room=1 << 20):
        self.records, self.end, self.positions, self.seen = [], 0, {1: 0}, 0
        self.fanout = Fanout(self.positions, never, room)

    def append(self, client_id, hole=0, value=None):
        self.records.append(a_record(self.end + hole, client_id, value))
        self.end += hole + 1

    def tail(self, count):
        for record in self.records[self.seen : self.seen + count]:
            self.fanout.apply(record)
        self.seen = min(len(self.records), self.seen + count)

    async def read_some(self, partition, client_id, start, end):
        """At most two records at a time, so that a range takes several."""
        await asyncio.sleep(0)
        within = [one for one in self.records if start <= one.offset < end]
        found = [event_of(one, client_id, never) for one in within[:2] if one.key == client_id.encode()]
        return found, within[1].offset + 1 if len(within) > 2 else end

    def of(self, client_id, start):
        return [one.offset for one in self.records if one.key == client_id.encode() and one.offset >= start]


class Reader:
    def __init__(self, log, client_id, start):
        self.client_id, self.got = client_id, []
        self.reader = AlertReader(log.fanout, log.read_some, client_id, 1, start)
        self.start = log.fanout.next_of(1) if start is None else start
        self.task = asyncio.ensure_future(self._read())

    async def _read(self):
        while True:
            self.got += [event.offset for event in await self.reader.some()]


async def turns(count):
    for _ in range(count):
        await asyncio.sleep(0)


STEPS = st.one_of(
    st.tuples(st.just("append"), st.sampled_from(A + B), st.integers(0, 2)),
    st.tuples(st.just("tail"), st.integers(1, 5)),
    st.tuples(st.just("join"), st.sampled_from(A + B)),
    st.tuples(st.just("resume"), st.sampled_from(A + B), st.floats(0, 1)),
    st.tuples(st.just("again"), st.integers(1, 9)),
    st.tuples(st.just("turns"), st.integers(1, 6)),
)


@given(steps=st.lists(STEPS, min_size=20, max_size=60), room=st.sampled_from([1, 500, 1500, 1 << 20]))
def test_whoever_joins_whenever_gets_its_alerts_in_order_once(steps, room):
    async def run():
        log, readers = Log(room), []
        for name, *step in steps:
            if name == "append":
                log.append(*step)
            elif name == "tail":
                log.tail(*step)
            elif name == "join":
                readers.append(Reader(log, step[0], None))
            elif name == "resume":  # also ahead of what this process has read: another one was faster
                readers.append(Reader(log, step[0], int(step[1] * log.end)))
            elif name == "again":  # the follower goes back to what it has read, or misses what it has not
                log.seen = max(0, log.seen - step[0])
            else:
                await turns(*step)
        log.seen = 0
        log.tail(len(log.records))
        await turns(50 + 20 * len(log.records))
        for one in readers:
            one.task.cancel()
            assert one.got == log.of(one.client_id, one.start)

    asyncio.run(run())


async def test_a_reader_that_is_closed_gets_no_more_and_leaves_nothing():
    log = Log()
    reader = AlertReader(log.fanout, log.read_some, A, 1, None)
    reader.close()
    assert not log.fanout._boxes


@pytest.mark.parametrize("value", [b"", b"{}", b"\xff", an_alert()[:-1] + b', "note": "\xff"}', b"[" * 9999])
def test_what_cannot_be_read_is_passed_over(value):
    assert event_of(a_record(1, value=value), A, never) is None
    assert event_of(a_record(1, value=None), A, never) is not None


def test_what_is_erased_is_left_out():
    assert event_of(a_record(4), A, lambda client_id: Erased(5, 0)) is None
    assert event_of(a_record(5), A, lambda client_id: Erased(5, 0)) is not None


def test_an_event_says_the_records_own_position_and_the_alert_as_it_stands_there_on_one_line():
    value = an_alert(note="of another producer\nin two lines")
    assert (
        event_of(a_record(7, value=value), A, never).message == b"event: alert\nid: 1:7\ndata: %b\n\n" % value
    )
    spread = value.replace(b",", b",\r\n ")
    assert (
        event_of(a_record(7, value=spread), A, never).message
        == b"event: alert\nid: 1:7\ndata: %b\n\n" % value
    )


async def test_what_a_reader_passes_over_does_not_come():
    log = Log()
    reader = AlertReader(log.fanout, log.read_some, A, 1, None)
    reader.pass_over(1)
    log.append(A)
    log.append(A)
    log.tail(2)
    assert [event.offset for event in await reader.some()] == [1]


async def test_an_alert_on_another_partition_than_its_clients_is_passed_over():
    log = Log()
    box = log.fanout.join(A, 1)
    log.fanout.apply(a_record(0, partition=2))
    log.fanout.apply(a_record(0))
    assert [event.offset for event in await box.taken()] == [0]
    assert log.fanout.next_of(1) == 1
