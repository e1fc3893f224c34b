"""When a buffer inserts what waits in it."""

import asyncio
from types import SimpleNamespace

from red_stats.store import insert_buffer
from red_stats.store.insert_buffer import InsertBuffer


def a_batch(start, size, lag=0):
    return SimpleNamespace(size=size, batches=[SimpleNamespace(start=start)], lag=lag)


async def acknowledged():
    pass


def test_what_somebody_waits_for_is_inserted_at_once_even_if_that_was_said_during_an_insert(monkeypatch):
    monkeypatch.setattr(insert_buffer, "ENOUGH_ROWS", 10)
    written = []

    async def scenario():
        first, done, later = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def write(batches):
            written.append(sum(batch.size for batch in batches))
            if len(written) == 1:
                first.set()
                await later.wait()
            if sum(written) == 20:
                done.set()
            return True

        buffer = InsertBuffer(write, pause=lambda: None, resume=lambda: None, interval=60)
        buffer.put(a_batch(0, 4), acknowledged)
        await first.wait()
        buffer.put(a_batch(4, 10), acknowledged)
        buffer.put(a_batch(14, 6), acknowledged)
        buffer.request_flush(19)
        later.set()
        async with asyncio.timeout(5):
            await done.wait()
        await buffer.finish(1)

    asyncio.run(scenario())
    assert written == [4, 10, 6]


def test_what_comes_out_of_a_backlog_is_inserted_together_and_a_last_bit_of_it_at_once():
    written = []

    async def scenario():
        done = asyncio.Event()

        async def write(batches):
            written.append(sum(batch.size for batch in batches))
            done.set()
            return True

        buffer = InsertBuffer(write, pause=lambda: None, resume=lambda: None, interval=60)
        for start in range(0, 5000, 1000):
            buffer.put(a_batch(start, 1000, lag=insert_buffer.BACKLOG + 4000 - start), acknowledged)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert not written
        buffer.put(a_batch(5000, 7, lag=insert_buffer.BACKLOG - 1), acknowledged)
        async with asyncio.timeout(5):
            await done.wait()

    asyncio.run(scenario())
    assert written == [5007]


def test_a_backlog_that_does_not_come_holds_an_insert_up_no_longer_than_the_interval():
    async def scenario():
        done = asyncio.Event()

        async def write(batches):
            done.set()
            return True

        buffer = InsertBuffer(write, pause=lambda: None, resume=lambda: None, interval=0.05)
        buffer.put(a_batch(0, 1, lag=10**6), acknowledged)
        async with asyncio.timeout(5):
            await done.wait()

    asyncio.run(scenario())
