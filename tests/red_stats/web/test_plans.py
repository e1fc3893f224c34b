"""Every plan of a statistic gives what brute force gives, at every moment of the seals."""

import asyncio
import random
import signal
import sys
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from red_stats.domain.buckets import DAY, HOUR, starts
from red_stats.store import daily
from red_stats.store.clickhouse import Store
from red_stats.store.daily import Seals
from red_stats.store.queries import Rebuilding
from red_stats.store.statistics import Amounts, Counts, Range, Series
from red_stats.web.plans import KNOWN_SECONDS, Plans
from tests.red_stats.web.place import PARTITION, Images, an_asking

START = 1_774_500_000_000
DAYS = 3
REDS = (0, 2500, 10000)
MANY = [n / 20 for n in range(21)]


class Place:
    """A store of its own, images in it, and plans that always know who has seals."""

    def __init__(self, folder, seed):
        self.store = Store.in_folder(folder, min_free_bytes=0)
        self.store.open()
        self.images = Images(self.store, seed=0)
        self.chance = random.Random(seed)
        self.seals = Seals(self.store, rows=60, at_once=100)
        self.now = 0.0
        self.since = {"a": 0, "b": 0}
        self.plans = Plans(None, monotonic=self.tick)
        self.asking = an_asking(self.store)

    def tick(self):
        self.now += KNOWN_SECONDS
        return self.now

    def add(self, number=40):
        """Images at any times and so, in the order of offsets, many of them late."""
        self.images.add([START + self.chance.randrange(DAYS * DAY) for _ in range(number)], REDS)

    def seal(self):
        """Make every seal that is worth it."""
        mark, made = self.images.offset + 1, 0
        for big in self.seals.big_clients():
            since = self.since[big.client_id]
            while (seal := self.seals.sum_up(big.client_id, PARTITION, mark, since)) is not None:
                assert self.seals.insert(seal)
                made += 1
        return made

    def erase(self, client):
        """It is known to be erased; nothing is deleted yet."""
        self.since[client] = self.images.offset + 1

    def within(self, start, end, client):
        found = self.images.within(start, end, client)
        return [image for image in found if image[2] >= self.since[client]]

    def lose_a_seal(self):
        """What a crash of the machine can do."""
        parts = self.store.query("SELECT name FROM system.parts WHERE active AND table = 'daily'")
        if parts:
            self.store.command(f"ALTER TABLE red.daily DROP PART '{self.chance.choice(parts)[0]}'")

    def rebuild(self):
        """What `red-stats rebuild` does, with the same rows."""
        replaced = Rebuilding("measurements")
        self.store.command(replaced.drop())
        self.store.command(replaced.create())
        self.store.command(replaced.copy_before(PARTITION, 10**9))
        self.store.command(daily.forget_all())
        self.store.command(replaced.exchange())
        self.store.command(replaced.drop())

    def ranges(self):
        yield 0, 10**14
        yield START, START + DAYS * DAY
        yield START // DAY * DAY, START // DAY * DAY + 2 * DAY
        yield START, START + HOUR
        for _ in range(2):
            start = START + self.chance.randrange(DAYS * DAY)
            yield start, start + self.chance.randrange(DAYS * DAY)

    async def check(self):
        """Every statistic of one of the clients, in several ranges, is what brute force says."""
        client = self.chance.choice("aab")
        for start, end in self.ranges():
            reds = [red for _, red, _ in self.within(start, end, client)]
            asked = Range(client, PARTITION, start, end, self.since[client])
            for thresholds in ([0.25], MANY):
                over = [sum(red > t * 10000 for red in reds) for t in thresholds]
                counted = self.plans.answer(self.asking, asked, Counts(thresholds))
                assert counted == (self.images.offset, (len(reds), over))
            _, amounts = self.plans.answer(self.asking, asked, Amounts())
            assert amounts == [(red, reds.count(red)) for red in sorted(set(reds))]
            if end - start < 30 * DAY:
                await self._check_series(asked)

    async def _check_series(self, asked):
        client, _, start, end, _ = asked
        for zone in ("UTC", "Asia/Kathmandu"):
            for thresholds in ([0.25], MANY):
                edges = [*starts(start, end, "day", ZoneInfo(zone), 99), end]
                _, series = self.plans.answer(self.asking, asked, Series(edges[:-1], thresholds))
                expected = {}
                for low, high in pairwise(edges):
                    reds = [red for _, red, _ in self.within(low, high, client)]
                    over = [sum(red > t * 10000 for red in reds) for t in thresholds]
                    if reds:
                        expected[low] = (len(reds), sum(reds), max(reds), over)
                assert series == expected


@pytest.fixture
def place(tmp_path, request):
    made = Place(tmp_path / "chdb", seed=getattr(request, "param", 1))
    yield made
    made.store.close()


@pytest.mark.parametrize("place", [1, 2], indirect=True)
async def test_every_plan_equals_brute_force_at_every_moment(place):
    made = 0
    for step in range(9):
        place.add(70)
        if step % 3 == 2:
            made += place.seal()
            place.add(9)
        if step == 5:
            place.lose_a_seal()
        if step == 6:
            place.rebuild()
        await place.check()
        assert place.store.query(*daily.unequal(None)) == []
    assert made > 3
    assert place.store.query("SELECT count() FROM red.daily WHERE day > 0")[0][0] > 0


async def test_what_is_erased_is_in_no_plan_from_the_moment_it_is_known(place):
    for step in range(8):
        place.add(70)
        if step in (1, 3, 7):
            place.seal()
            place.add(9)
        if step in (2, 4):
            place.erase("a")
            await place.check()
            place.add(9)
        await place.check()
    assert place.since["a"] > 0
    begins = place.store.query("SELECT min(sealed_from) FROM red.daily WHERE client_id = 'a' AND day = 0")
    assert begins[0][0] == place.since["a"]  # the seals that held what is erased are gone


async def test_whole_days_are_read_from_seals_and_only_what_is_behind_them_from_images(place):
    for _ in range(5):
        place.add()
    assert place.seal()
    asked = Range("a", PARTITION, START, START + DAYS * DAY)
    _, (images, _) = place.plans.answer(place.asking, asked, Counts([]))
    assert place.store.query(*daily.unequal(None)) == []
    place.store.command(
        "ALTER TABLE red.daily UPDATE images = images + 1 WHERE day > 0 SETTINGS mutations_sync = 2"
    )
    _, (more, _) = place.plans.answer(place.asking, asked, Counts([]))
    assert more > images
    assert {client for client, _ in place.store.query(*daily.unequal("a"))} == {"a"}
    assert {client for client, _ in place.store.query(*daily.unequal(None))} >= {"a"}


def test_of_two_that_seal_the_same_one_wins_and_the_other_is_told(place):
    for _ in range(5):
        place.add()
    first = place.seals.sum_up("a", PARTITION, place.images.offset + 1)
    other = Seals(place.store, rows=60, at_once=80).sum_up("a", PARTITION, place.images.offset + 1)
    assert first.end != other.end
    assert place.seals.insert(first)
    assert not place.seals.insert(other)
    place.add(150)
    assert place.seals.sum_up("a", PARTITION, place.images.offset + 1).begin == first.end


def test_nothing_is_sealed_above_the_mark_or_over_a_hole_or_where_it_saves_little(place):
    for _ in range(6):
        place.add()
    mark = place.images.offset + 1
    assert place.seals.sum_up("a", PARTITION, 150).end <= 150
    assert place.seals.sum_up("a", PARTITION, mark + 1) is None  # not recorded yet
    lost = "kafka_offset > 41 AND kafka_offset <= 82"
    place.store.command(f"ALTER TABLE red.measurements DELETE WHERE {lost} SETTINGS mutations_sync = 2")
    assert place.seals.sum_up("a", PARTITION, mark) is None
    wide = Images(place.store, seed=1)
    wide.add([START + n * DAY for n in range(200)])
    assert Seals(place.store, rows=30).sum_up("a", PARTITION, 10) is None


SEAL_ONE = """
import sys
from pathlib import Path
from red_common import failpoints
from red_stats.store.clickhouse import Store
from red_stats.store.daily import Seals
failpoints.arm(sys.argv[3])
store = Store.in_folder(Path(sys.argv[1]), min_free_bytes=0)
store.open()
seals = Seals(store, rows=60, at_once=100)
seals.insert(seals.sum_up("a", 2, int(sys.argv[2])))
"""


@pytest.mark.parametrize("point", ["record.before-seal", "record.after-seal"])
@pytest.mark.system
async def test_a_process_that_is_killed_while_it_seals_changes_no_answer(tmp_path, point):
    place = Place(tmp_path / "chdb", seed=5)
    for _ in range(6):
        place.add()
    for _ in range(2):
        place.store.close()
        arguments = [str(tmp_path / "chdb"), str(place.images.offset + 1), point]
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", SEAL_ONE, *arguments)
        assert await process.wait() == -signal.SIGKILL
        place.store.open()
        await place.check()
        place.add()
    place.seal()
    await place.check()
    place.store.close()


class Recorder:
    """One that says these marks, one after another."""

    def __init__(self, *marks):
        self.marks = list(marks)

    def settled(self, partition):
        return self.marks.pop(0)


@pytest.mark.parametrize(
    ("marks", "said"),
    [([77, 77], 77), ([77, 78], 40), ([77, None], 40), ([None], 40)],
    ids=["settled", "recorded meanwhile", "an insert has begun", "an insert is under way"],
)
async def test_the_mark_is_the_recorders_only_if_nothing_is_recorded_meanwhile(place, marks, said):
    place.add(39)
    recorder = Recorder(*marks)
    mark, _ = Plans(recorder).answer(place.asking, Range("a", PARTITION, 0, 10**13), Counts([]))
    assert (mark, recorder.marks) == (said, [])
