import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from red_common.web.errors import problems


@pytest.fixture
async def client():
    async def refused(request):
        raise web.HTTPExpectationFailed(reason="No.")

    async def read(request):
        return web.Response(body=await request.read())

    app = web.Application(middlewares=[problems()])
    app.router.add_route("*", "/refused", refused)
    app.router.add_post("/read", read)
    async with TestClient(TestServer(app)) as client:
        yield client


async def test_an_answer_of_the_server_library_keeps_its_status(client):
    async with client.get("/refused") as answer:
        problem = await answer.json(content_type="application/problem+json")
    assert (answer.status, problem["status"], problem["code"], problem["detail"]) == (
        417, 417, "bad_request", "No.",
    )  # fmt: skip


async def test_only_a_refused_body_closes_the_connection(client):
    async with client.get("/nothing") as answer:
        assert answer.status == 404
        assert "Connection" not in answer.headers
    async with client.post("/nothing", data=b"unread") as answer:
        assert answer.status == 404
        assert answer.headers["Connection"] == "close"


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_body_that_is_not_in_its_encoding_is_the_fault_of_the_request(encoding, client):
    sent = {"data": b"\xff\xff no such thing", "headers": {"Content-Encoding": encoding}}
    async with client.post("/read", **sent) as answer:
        problem = await answer.json(content_type="application/problem+json")
    assert (answer.status, problem["code"]) == (400, "bad_request")
