"""The login of drivers, and what they are told of requests that cannot be read."""

import base64
from uuid import UUID

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer, make_mocked_request

from red_common.problems import Problem
from red_common.web.errors import problems
from red_stats.store.clickhouse import StoreError
from red_stats.store.sql.questions import SqlAnswer
from red_stats.web.clickhouse import ClickHouse, bearer_of, told_to_drivers
from red_stats.web.server import _of_store
from tests.red_stats.web.place import served


@pytest.mark.parametrize("packed", ["é", "a", "//8=", "w6k6w6k=", ""])
def test_a_login_that_cannot_be_read_is_a_wrong_one(packed):
    request = make_mocked_request("GET", "/clickhouse", headers={"Authorization": f"Basic {packed}"})
    assert (bearer_of(request) or "").startswith("Bearer ")


async def test_a_body_that_is_not_in_its_encoding_is_told_as_drivers_expect():
    async def read(request):
        return web.Response(body=await request.read())

    app = web.Application(middlewares=[problems(other=told_to_drivers)])
    app.router.add_post("/clickhouse", read)
    async with TestClient(TestServer(app)) as client:
        sent = {"data": b"\xff\xff no such thing", "headers": {"Content-Encoding": "gzip"}}
        async with client.post("/clickhouse", **sent) as answer:
            assert answer.status == 400
            assert (await answer.text()).startswith("Code: 36. DB::Exception: ")


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        (
            "/clickhouse/nothing",
            404,
            "Code: 36. DB::Exception: There is nothing at this address. (BAD_ARGUMENTS)",
        ),
        ("/clickhouse", 413, "Code: 36. DB::Exception: The request body is too large. (BAD_ARGUMENTS)"),
        (
            "/clickhouse/fails",
            500,
            "Code: 36. DB::Exception: Something went wrong; see the service's log. (BAD",
        ),
        ("/clickhouse/engine", 400, "Code: 9999. DB::Exception: It cannot\n"),
    ],
)
async def test_whatever_goes_wrong_is_told_as_drivers_expect(path, status, said):
    async def read(request):
        return web.Response(body=await request.read())

    async def fail(request):
        raise KeyError

    async def engine(request):
        raise Problem("sql_failed", "It cannot.", engine_code=9999)

    app = web.Application(middlewares=[problems(other=told_to_drivers)], client_max_size=100)
    app.router.add_post("/clickhouse", read)
    app.router.add_post("/clickhouse/fails", fail)
    app.router.add_post("/clickhouse/engine", engine)
    async with TestClient(TestServer(app)) as client, client.post(path, data=b"x" * 1000) as answer:
        assert answer.status == status
        assert (await answer.text()).startswith(said)


def test_a_login_of_drivers_is_read_at_their_address_only():
    packed = {"Authorization": "Basic " + base64.b64encode(b"anna:red_a_b").decode()}
    asked = [make_mocked_request("GET", path, headers=packed) for path in ("/clickhouse", "/v1/live")]
    assert [bearer_of(request) for request in asked] == ["Bearer red_a_b", packed["Authorization"]]


class Answering:
    """A store that answers, or is away."""

    def __init__(self, error=None):
        self.error = error

    async def answer_sql(self, client_id, text):
        if self.error is not None:
            raise self.error
        return SqlAnswer(b"1\n", "TabSeparated", "text/plain")


async def asked(resources, **query):
    async with (
        served(ClickHouse(resources), "sql", problems(_of_store, told_to_drivers)) as client,
        client.get("/clickhouse", params={"query": "SELECT 1"} | query) as answer,
    ):
        return answer.status, await answer.text(), answer.headers


@pytest.mark.parametrize("given", ["a", "my-query_1", "x" * 64])
async def test_a_question_keeps_the_id_that_it_came_with(given):
    _, _, headers = await asked(Answering(), query_id=given)
    assert headers["X-ClickHouse-Query-Id"] == given


@pytest.mark.parametrize("given", ["", "x" * 65, "é", "a\r\nb", "a\tb", "\x7f"])
async def test_an_id_that_is_no_header_or_too_long_is_replaced_by_one_of_ours(given):
    status, _, headers = await asked(Answering(), query_id=given)
    assert (status, UUID(headers["X-ClickHouse-Query-Id"]).version) == (200, 4)


async def test_a_store_that_is_away_is_told_as_drivers_expect():
    status, text, _ = await asked(Answering(StoreError("the path of a file")))
    assert status == 503
    assert text == (
        "Code: 210. DB::Exception: The statistics store cannot answer now; try again. (NETWORK_ERROR)\n"
    )


async def test_who_asks_too_much_is_told_when_to_ask_again():
    for retry_after, told in ((7, "7"), (None, None)):
        problem = Problem("rate_limited", "Too much.", retry_after=retry_after)
        status, text, headers = await asked(Answering(problem))
        assert (status, text[:9], headers.get("Retry-After")) == (429, "Code: 202", told)


@pytest.mark.parametrize("close", [True, False])
async def test_a_connection_is_closed_behind_a_problem_that_says_so(close):
    _, _, headers = await asked(Answering(Problem("admin_only", "Not yours.", close=close)))
    assert (headers.get("Connection") == "close") == close
