"""A client's images take up no more than its quota, whatever else is stored."""

import asyncio

import pytest

from red_service import image_usage
from red_service.image_usage import ImageUsage, QuotaExceeded


class Counting:
    """What is stored, by client; a count waits for `go`."""

    def __init__(self, **stored):
        self.stored, self.counts, self.go = stored, [], asyncio.Event()
        self.go.set()

    async def __call__(self, client_id):
        self.counts.append(client_id)
        await self.go.wait()
        return self.stored.get(client_id, 0)


async def is_taken(usage, client_id, size):
    try:
        await usage.take(client_id, size)
    except QuotaExceeded:
        return False
    return True


async def test_what_was_stored_before_a_restart_counts_and_a_quota_can_be_used_to_its_last_byte():
    usage = ImageUsage(100, Counting(anna=70))

    assert not await is_taken(usage, "anna", 31)
    assert await is_taken(usage, "anna", 30)
    assert not await is_taken(usage, "anna", 1)
    assert await is_taken(usage, "bert", 100)


async def test_of_many_that_come_at_once_only_what_fits_is_taken():
    usage = ImageUsage(100, Counting(anna=5))

    taken = await asyncio.gather(*(is_taken(usage, "anna", 10) for _ in range(50)))

    assert sum(taken) == 9


async def test_what_was_not_stored_after_all_is_given_back():
    usage = ImageUsage(10, Counting())
    await usage.take("anna", 10)

    usage.give_back("anna", 10)

    assert await is_taken(usage, "anna", 10)


async def test_a_recount_sees_what_others_stored_and_what_was_removed():
    stored = Counting(anna=0)
    usage = ImageUsage(100, stored)
    await usage.take("anna", 60)
    stored.stored["anna"] = 95  # another process has stored 35

    await usage.recount()

    assert not await is_taken(usage, "anna", 6)
    stored.stored["anna"] = 0
    await usage.recount()
    assert await is_taken(usage, "anna", 100)


async def test_what_is_stored_during_a_count_is_not_forgotten():
    stored = Counting(anna=0)
    usage = ImageUsage(100, stored)
    await usage.take("anna", 50)
    stored.stored["anna"] = 50
    stored.go.clear()
    counting = asyncio.create_task(usage.recount())
    await asyncio.sleep(0)
    await usage.take("anna", 40)
    stored.go.set()
    await counting

    assert not await is_taken(usage, "anna", 11)
    assert await is_taken(usage, "anna", 10)


async def test_a_first_count_that_takes_long_refuses_nobody(monkeypatch):
    monkeypatch.setattr(image_usage, "FIRST_COUNT_SECONDS", 0.01)
    stored = Counting(anna=100)
    stored.go.clear()
    usage = ImageUsage(100, stored)

    assert await is_taken(usage, "anna", 1)
    stored.go.set()
    await asyncio.sleep(0.01)
    assert not await is_taken(usage, "anna", 1)
    assert stored.counts == ["anna"]


async def test_a_client_that_no_longer_comes_is_forgotten_and_counted_anew_when_it_does():
    stored = Counting(anna=1)
    usage = ImageUsage(100, stored)
    await usage.take("anna", 1)
    for _ in range(3):
        await usage.recount()
    assert stored.counts == ["anna"] * 2
    await usage.take("anna", 1)
    assert stored.counts == ["anna"] * 3


async def test_a_count_that_fails_leaves_what_was_known(caplog):
    async def failing(client_id):
        raise OSError("no disk")

    usage = ImageUsage(10, failing)

    assert await is_taken(usage, "anna", 10)
    await usage.recount()
    assert not await is_taken(usage, "anna", 1)
    assert "could not count the images of anna: no disk" in caplog.text


@pytest.mark.parametrize("size", [1, 10**12])
async def test_a_refusal_tells_what_is_in_use(size):
    usage = ImageUsage(5, Counting(anna=5))

    with pytest.raises(QuotaExceeded, match="5 of 5 bytes are in use"):
        await usage.take("anna", size)


async def test_a_client_may_be_forgotten_while_clients_are_counted():
    stored = Counting()
    usage = ImageUsage(100, stored)
    for client_id in ("anna", "bert"):
        await usage.take(client_id, 1)
    await usage.recount()
    await usage.take("anna", 1)
    stored.go.clear()
    counting = asyncio.create_task(usage.recount())
    await asyncio.sleep(0)
    assert stored.counts[-1] == "anna"

    usage.forget("bert")
    stored.go.set()

    await counting
