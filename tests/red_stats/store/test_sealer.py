"""Seals are made in the background, of the partitions held here, and never of a table that was replaced."""

import asyncio

import pytest

from red_stats.domain.erasure import NEVER, Erased, never
from red_stats.store.clickhouse import StoreError
from red_stats.store.daily import Big, Seal
from red_stats.store.sealer import Sealer


class Seals:
    """Two big clients, each worth `left` seals more."""

    def __init__(self, left=2):
        self.left = {"anna": left, "berta": left}
        self.inserted, self.failing, self.broken = [], None, ()
        self.on_summed = lambda: None

    def big_clients(self):
        if self.failing is not None:
            raise self.failing
        return [Big("anna", 0), Big("berta", 1)]

    def sum_up(self, client_id, partition, mark, since):
        if client_id in self.broken:
            raise StoreError("too big")
        if not self.left[client_id]:
            return None
        self.on_summed()
        return Seal(client_id, 0, mark, ())

    def insert(self, seal):
        self.left[seal.client_id] -= 1
        self.inserted.append((seal.client_id, seal.end))
        return True


class Recorder:
    def __init__(self):
        self.next, self.rebuilt, self.writing = {0: 70, 1: 80}, 0, asyncio.Lock()


@pytest.mark.parametrize(
    ("held", "made"), [({0}, ["anna"] * 2), ({0, 1}, ["anna"] * 2 + ["berta"] * 2), ((), [])]
)
async def test_every_seal_that_is_worth_it_is_made_of_the_partitions_held_here(held, made):
    seals = Seals()
    assert await Sealer(seals, Recorder(), lambda: held, never).round() == len(made)
    assert [name for name, _ in seals.inserted] == made
    assert set(seals.inserted) <= {("anna", 70), ("berta", 80)}


async def test_what_was_summed_up_from_a_table_that_was_replaced_is_not_inserted():
    seals, recorder = Seals(left=1), Recorder()

    def replaced():
        recorder.rebuilt += 1
        recorder.next[0] = 75
        seals.on_summed = lambda: None

    seals.on_summed = replaced
    await Sealer(seals, recorder, lambda: {0}, never).round()
    assert seals.inserted == [("anna", 75)]


async def test_a_seal_waits_for_what_is_being_written():
    seals, recorder = Seals(left=1), Recorder()
    async with recorder.writing:
        task = asyncio.create_task(Sealer(seals, recorder, lambda: {0}, never).round())
        done, _ = await asyncio.wait([task], timeout=0.2)
        assert (done, seals.inserted) == (set(), [])
    await task
    assert seals.inserted == [("anna", 70)]


async def test_what_was_summed_up_of_a_client_that_is_erased_meanwhile_is_not_inserted():
    seals, erased = Seals(left=1), {"anna": NEVER}
    begun = []

    def erase():
        begun.append(erased["anna"].before)
        erased["anna"] = Erased(30, 1)

    seals.on_summed = erase
    await Sealer(seals, Recorder(), lambda: {0}, erased.__getitem__).round()
    assert begun == [0, 30]
    assert seals.inserted == [("anna", 70)]


async def test_a_client_that_cannot_be_sealed_holds_up_no_other():
    seals = Seals()
    seals.broken = ("anna",)
    with pytest.raises(StoreError):
        await Sealer(seals, Recorder(), lambda: {0, 1}, never).round()
    assert [name for name, _ in seals.inserted] == ["berta"] * 2


@pytest.mark.parametrize("failure", [StoreError("away"), ZeroDivisionError("a bug")])
async def test_whatever_fails_is_tried_again(failure):
    seals = Seals()
    seals.failing = failure
    async with Sealer(seals, Recorder(), lambda: {0, 1}, never, interval=0.01).running(), asyncio.timeout(5):
        await asyncio.sleep(0.05)
        seals.failing = None
        while len(seals.inserted) < 4:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
