"""A client's questions to a real store."""

import asyncio

import pytest

from red_stats.resources import Resources
from red_stats.settings import Settings
from red_stats.store.queries import Question
from red_stats.store.query_server import RemoteStore, StoreServer

ENDLESS = Question("SELECT count() FROM numbers({n:UInt64}) WHERE number % 7 = 3", {"n": 10**13})
RUNNING = Question("SELECT Settings['log_comment'] FROM system.processes WHERE query LIKE '%numbers(%'", {})


@pytest.fixture
async def resources(tmp_path):
    made = Resources(Settings(data=tmp_path, secret_key="ab" * 32), ("record",))
    await asyncio.get_running_loop().run_in_executor(made.writer, made.store.open)
    yield made
    await asyncio.get_running_loop().run_in_executor(made.writer, made.store.close)


async def running(resources, count):
    """Wait until so many of the endless questions run in the engine."""
    async with asyncio.timeout(8):  # less than a question may take by itself
        while len([one for one in await resources.ask(RUNNING) if one[0]]) != count:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "in another process"])
async def test_a_question_whose_asker_leaves_is_ended_in_the_engine(resources, tmp_path, elsewhere):
    server = StoreServer(resources.store, tmp_path, resources.readers, rebuild=None)
    if elsewhere:
        await server.start()
        resources.queries = RemoteStore(tmp_path)
    asking = asyncio.create_task(resources.ask_for("hasty", ENDLESS))
    await running(resources, 1)

    asking.cancel()

    await running(resources, 0)
    with pytest.raises(asyncio.CancelledError):
        await asking
    await server.stop()


async def test_a_question_that_is_ended_ends_no_other(resources):
    leaves, stays = (asyncio.create_task(resources.ask_for(name, ENDLESS)) for name in ("hasty", "patient"))
    await running(resources, 2)

    leaves.cancel()

    await running(resources, 1)
    assert not stays.done()
    stays.cancel()
    await running(resources, 0)
