"""A client's questions to a real store."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from red_common.problems import Problem
from red_stats.resources import Resources
from red_stats.settings import Settings
from red_stats.store import queries
from red_stats.store.asking import Asking
from red_stats.store.clickhouse import StoreError
from red_stats.store.queries import Question
from red_stats.store.query_server import RemoteStore, StoreServer
from red_stats.store.sql.errors import SqlFailed
from red_stats.store.sql.questions import SqlText

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


def ask_for_rows(resources, client_id, question):
    return resources.ask_for(client_id, question)


def make_of_packed_rows(resources, client_id, question):
    return resources.work_for(client_id, lambda asking: asking.packed(question))


@pytest.mark.parametrize("ask", [ask_for_rows, make_of_packed_rows])
@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "in another process"])
async def test_a_question_whose_asker_leaves_is_ended_in_the_engine(resources, tmp_path, elsewhere, ask):
    server = StoreServer(resources.store, tmp_path, resources.readers, resources.sql_readers, rebuild=None)
    if elsewhere:
        await server.start()
        resources.queries = RemoteStore(tmp_path)
    asking = asyncio.create_task(ask(resources, "hasty", ENDLESS))
    await running(resources, 1)

    asking.cancel()

    await running(resources, 0)
    with pytest.raises(asyncio.CancelledError):
        await asking
    await server.stop()


async def test_packed_rows_are_the_same_here_and_in_another_process(resources, tmp_path):
    numbers = Question("SELECT toUInt16(number), number FROM numbers({n:UInt64})", {"n": 300})
    expected = b"".join(n.to_bytes(2, "little") + n.to_bytes(8, "little") for n in range(300))
    server = StoreServer(resources.store, tmp_path, resources.readers, resources.sql_readers, rebuild=None)
    await server.start()

    here = await make_of_packed_rows(resources, "client", numbers)
    resources.queries = RemoteStore(tmp_path)
    there = await make_of_packed_rows(resources, "client", numbers)

    assert here == there == expected
    with pytest.raises(StoreError, match="UNKNOWN_TABLE"):
        await make_of_packed_rows(resources, "client", Question("SELECT 1 FROM red.nothing", {}))
    await server.stop()
    with pytest.raises(StoreError, match="no running worker"):
        await make_of_packed_rows(resources, "client", numbers)


async def test_work_counts_to_the_share_of_the_client_and_is_admitted_once(resources):
    def slow(asking):
        asking.rows(queries.alive())
        time.sleep(6)
        return asking.rows(queries.alive())

    assert await resources.work_for("slow", slow) == [(1,)]
    with pytest.raises(Problem) as refused:
        await resources.ask_for("slow", queries.alive())

    assert refused.value.code == "rate_limited"


async def test_work_that_nobody_waits_for_asks_nothing_more(resources):
    asking = Asking(resources.store, "left", 10)
    assert asking.rows(queries.alive()) == [(1,)]
    asking.end()
    for ask in (asking.rows, asking.packed):
        with pytest.raises(StoreError, match="nobody waits"):
            ask(queries.alive())


async def test_a_question_that_is_ended_ends_no_other(resources):
    leaves, stays = (asyncio.create_task(resources.ask_for(name, ENDLESS)) for name in ("hasty", "patient"))
    await running(resources, 2)

    leaves.cancel()

    await running(resources, 1)
    assert not stays.done()
    stays.cancel()
    await running(resources, 0)


SQL = SqlText("SELECT count() FROM numbers(10000000000000) WHERE number % 7 = 3", {}, "TSV")


@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "in another process"])
async def test_sql_of_a_client_that_leaves_is_ended_in_the_engine_and_holds_up_no_other_question(
    resources, tmp_path, elsewhere
):
    server = StoreServer(resources.store, tmp_path, resources.readers, ThreadPoolExecutor(2), rebuild=None)
    if elsewhere:
        await server.start()
        resources.queries = resources.sql_store = RemoteStore(tmp_path)
    askers = [asyncio.create_task(resources.answer_sql(name, SQL)) for name in ("hasty", "eve", "eve")]
    await running(resources, 2)

    assert await resources.ask_for("anna", Question("SELECT 1", {})) == [(1,)]
    assert await resources.ask_for("eve", Question("SELECT 1", {})) == [(1,)]

    for one in askers:
        one.cancel()
    await running(resources, 0)
    await asyncio.gather(*askers, return_exceptions=True)
    await server.stop()


async def test_what_the_engine_says_of_sql_is_the_same_from_another_process(resources, tmp_path):
    server = StoreServer(resources.store, tmp_path, resources.readers, resources.sql_readers, rebuild=None)
    await server.start()
    said = []
    for store in (resources.store, RemoteStore(tmp_path)):
        resources.sql_store = store
        assert (await resources.answer_sql("anna", SqlText("SELECT 1", {}, "TSV"))).body == b"1\n"
        with pytest.raises(SqlFailed) as failed:
            await resources.answer_sql("anna", SqlText("SELECT nosuch FROM measurements", {}, "TSV"))
        said.append((failed.value.code, str(failed.value)))
    assert said[0] == said[1]
    await server.stop()
    with pytest.raises(StoreError):
        await resources.answer_sql("anna", SqlText("SELECT 1", {}, "TSV"))
