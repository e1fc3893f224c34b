"""What has been erased is not recorded, whenever that is learned."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from red_stats import topics
from red_stats.domain.erasure import NEVER, Erased
from red_stats.domain.recorded_tables import MEASUREMENTS
from red_stats.store.recorder import ROWS, Recorder
from tests.builders import NOW, a_batch, a_client_of, measured

PARTITION = 1
CLIENT, OTHER = a_client_of(PARTITION), a_client_of(PARTITION, prefix="other")
FETCHING = SimpleNamespace(pause=lambda tp: None, resume=lambda tp: None)


class ErasedClients:
    """Who has been erased; `erase` is what reading it does."""

    def __init__(self):
        self.clients, self.erasures = {}, 0

    def erase(self, client_id, before):
        self.clients[client_id] = Erased(before, NOW)
        self.erasures += 1

    def erased_of(self, client_id):
        return self.clients.get(client_id, NEVER)

    def erased_below(self, partition):
        return max((one.before for one in self.clients.values()), default=0)


class Sink:
    def __init__(self):
        self.written = []

    def write(self, rows):
        offsets = [offset for part in rows.parts for offset in part.offsets]
        self.written.append((rows.first, rows.last, offsets))


@pytest.fixture
def place():
    with ThreadPoolExecutor(1) as writer:
        place = SimpleNamespace(sink=Sink(), erased=ErasedClients(), scanned=[], read=asyncio.Event())

        def scan(partition, batches, first):
            place.scanned.append(first)
            place.read.set()  # by when others may go on: a slice is read at once
            return None

        def reader(partition, partitions):
            read = MEASUREMENTS.reader(partition, partitions)
            return lambda records: (place.on_read(records), read(records))[1]

        place.on_read = lambda records: None
        held = {PARTITION: SimpleNamespace(partition=PARTITION, generation=1)}
        place.recorder = Recorder(
            topics.MEASUREMENTS, MEASUREMENTS._replace(reader=reader), place.sink,
            states=SimpleNamespace(held=held), partitions=4, connection=None, writer=writer,
            interval=0.0, scan=scan, erased=place.erased,
        )  # fmt: skip
        place.recorder.next[PARTITION] = 0
        yield place


async def recorded(place, first=0):
    """Record images of both clients, by turns, at four offsets."""
    done = asyncio.Event()

    async def ack():
        done.set()

    records = [measured((CLIENT, OTHER)[n % 2], 0.5, n) for n in range(first, first + 4)]
    place.recorder.put("tp", a_batch(topics.MEASUREMENTS, PARTITION, records), ack, FETCHING)
    async with asyncio.timeout(10):
        await done.wait()


async def test_erased_records_are_passed_over_and_the_mark_goes_on(place):
    place.erased.erase(CLIENT, 3)

    await recorded(place)
    await recorded(place, 4)

    assert place.sink.written == [(0, 3, [1, 3]), (4, 7, [4, 5, 6, 7])]


async def test_what_is_erased_between_reading_and_writing_is_not_recorded(place):
    async with place.recorder.writing:
        task = asyncio.create_task(recorded(place))
        async with asyncio.timeout(10):
            await place.read.wait()
        place.erased.erase(CLIENT, 100)
    await task

    assert place.sink.written == [(0, 3, [1, 3])]


async def test_only_what_cannot_be_erased_is_scanned(place):
    place.erased.erase(CLIENT, 4)

    await recorded(place)
    assert place.scanned == []

    await recorded(place, 4)
    assert place.scanned == [4]


async def test_others_have_their_turns_while_records_are_read_one_by_one(place):
    done, turns, reads = asyncio.Event(), 0, []

    async def ack():
        done.set()

    async def other():
        nonlocal turns
        while not done.is_set():
            turns += 1
            await asyncio.sleep(0)

    place.on_read = lambda records: reads.append((turns, len(records)))
    records = [measured(CLIENT, 0.5, n) for n in range(3 * ROWS + 1)]
    place.recorder.put("tp", a_batch(topics.MEASUREMENTS, PARTITION, records), ack, FETCHING)
    async with asyncio.timeout(10):
        await other()

    assert [size for _, size in reads] == [ROWS, ROWS, ROWS, 1]
    assert len({turn for turn, _ in reads}) == len(reads)
    assert place.sink.written == [(0, 3 * ROWS, list(range(3 * ROWS + 1)))]


async def test_a_table_is_another_one_after_every_pause(place):
    for times in (1, 2):
        async with place.recorder.paused():
            assert place.recorder.is_paused
            assert place.recorder.rebuilt == times - 1  # what is made of the old one is not yet for nothing
        assert place.recorder.rebuilt == times
    with pytest.raises(KeyError):
        async with place.recorder.paused():
            raise KeyError
    assert (place.recorder.rebuilt, place.recorder.is_paused) == (3, False)
