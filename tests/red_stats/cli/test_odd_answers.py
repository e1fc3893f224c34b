"""Whatever a command gets for an answer, it says in one line what is wrong, and fails."""

import asyncio
import json
import os
import sys
from typing import TypedDict

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from red_stats.domain.erase_report import is_signed, signed
from red_stats.local.answers import OddAnswer, content, reason
from tests.services import SECRET_KEYS

ODD = {
    "html": b"<html>",
    "nothing": b"",
    "no UTF-8": b'"\xff"',
    "a number": b"5",
    "a list": b"[]",
    "null": b"null",
    "an object": b"{}",
    "other fields": b'{"images": "many", "items": 1, "meta": [1], "data": {}, "removed": [], "detail": []}',
    "too deep": b"[" * 200_000,
}
REPORT = {
    "client_id": "anna", "erased_before": "1:2", "at": "2026-01-01T00:00:00.000Z", "removed": {"alerts": 1},
    "stays": [{"topic": "red.alerts", "until": None}],
}  # fmt: skip
ASKED = {
    "erase": ["erase", "anna", "--yes", "--key", "red_x_y"],
    "erase, asking": ["erase", "anna", "--key", "red_x_y"],
    "export": ["export", "--client-key", "red_x_y"],
    "sql": ["sql", "SELECT 1", "--client-key", "red_x_y"],
}


async def ran(*arguments, folder):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "red_stats", *arguments, stdin=-3, stdout=-1, stderr=-1,
        env=os.environ | {"RED_DATA": str(folder)},
    )  # fmt: skip
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


@pytest.mark.system
@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"meta": [1], "data": {}, "removed": []}'])
@pytest.mark.parametrize("status", [200, 502])
async def test_a_command_that_is_answered_oddly_fails_with_one_line(tmp_path, status, body):
    async def answer(request):
        return web.Response(status=status, body=body, content_type="text/html")

    application = web.Application()
    application.router.add_route("*", "/{any:.*}", answer)
    async with TestServer(application) as server:
        given = [[*one, "--url", f"http://127.0.0.1:{server.port}"] for one in ASKED.values()]
        told = await asyncio.gather(*(ran(*one, folder=tmp_path) for one in given))

    for code, out, err in told:
        assert code > 0
        assert (out, len(err.splitlines())) == ("", 1)
        assert f"answered {status}" in err


@pytest.mark.system
async def test_images_that_are_none_do_not_become_a_file(tmp_path):
    async def counted(request):
        return web.json_response({"images": 1})

    async def page(request):
        return web.Response(text="<html>Log in</html>", content_type="text/html")

    application = web.Application()
    application.add_routes([web.get("/v1/statistics", counted), web.get("/v1/measurements", page)])
    async with TestServer(application) as server:
        given = ["--url", f"http://127.0.0.1:{server.port}", "-o", str(tmp_path / "all.csv")]
        code, out, err = await ran(*ASKED["export"], *given, folder=tmp_path)

    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert not list(tmp_path.glob("all*"))


class Kind(TypedDict):
    images: int
    items: list


@pytest.mark.parametrize("body", ODD.values(), ids=list(ODD))
def test_what_was_not_asked_for_is_told_as_such(body):
    with pytest.raises(OddAnswer):
        content(200, body, Kind)
    assert reason(502, body)


def test_a_problem_is_told_in_its_words():
    problem = json.dumps({"code": "sql_refused", "detail": "No."}).encode()
    assert reason(400, problem) == "sql_refused: No."
    assert reason(400, b'{"detail": "No."}') == "No."
    with pytest.raises(OddAnswer, match=r"sql_refused: No\."):
        content(400, problem, dict)


@pytest.mark.parametrize(
    "odd",
    [10**30, -(2**63) - 1, "\ud800", {"\udfff": 1}, json.loads("[" * 900 + "]" * 900)],
    ids=["big", "small", "surrogate", "name", "deep"],
)
def test_a_report_with_what_no_report_of_ours_has_is_not_ours(odd):
    report = signed(REPORT, SECRET_KEYS)
    assert is_signed(report, SECRET_KEYS)

    assert not is_signed(report | {"more": odd}, SECRET_KEYS)


@pytest.mark.system
@pytest.mark.parametrize(
    "text",
    ['{"signature": "a.b", "n": 1' + "0" * 40 + "}", '{"signature": "a.b", "n": "\\ud800"}', "[" * 200_000],
)
async def test_a_file_that_is_no_report_is_told_in_one_line(tmp_path, text):
    (tmp_path / "report.json").write_text(text)
    code, out, err = await ran("erase", "--check", str(tmp_path / "report.json"), folder=tmp_path)
    assert code > 0
    assert (out, len(err.splitlines())) == ("", 1)
