"""`export` writes a file only when it is whole, and says in one line what went wrong."""

import asyncio
import sys

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from red_stats.cli.export import CONTENT_TYPES
from red_stats.web.measurements import FORMATS

pytestmark = pytest.mark.system  # starts red-stats
LINES = b'{"image_id":"a"}\n' * 3


async def exported(answer, *arguments):
    """The exit code and stderr of an export from a server that answers so about the images."""

    async def counts(request):
        return web.json_response({"images": 3})

    application = web.Application()
    application.add_routes([web.get("/v1/statistics", counts), web.get("/v1/measurements", answer)])
    async with TestServer(application) as server:
        url = f"http://127.0.0.1:{server.port}"
        command = ["-m", "red_stats", "export", "--url", url, "--client-key", "red_x_y", "--format", "jsonl"]
        process = await asyncio.create_subprocess_exec(
            sys.executable, *command, *arguments, stdout=-1, stderr=-1
        )
        out, told = await process.communicate()
    return process.returncode, out, told.decode()


async def test_all_lines_go_to_stdout_or_to_a_file_that_appears_whole(tmp_path):
    async def whole(request):
        assert request.query == {
            "from": "2026-01-01T00:00:00Z", "to": "9999-12-31T23:59:59Z", "over": "0.25", "order": "newest",
            "format": "jsonl", "client": "anna",
        }  # fmt: skip
        return web.Response(body=LINES, content_type="application/jsonl")

    asked = ["--from", "2026-01-01T00:00:00Z", "--over", "0.25", "--order", "newest", "--client", "anna"]
    assert await exported(whole, *asked) == (0, LINES, "")
    assert await exported(whole, *asked, "-o", str(tmp_path / "all.jsonl")) == (0, b"", "")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("all.jsonl", LINES)]


async def test_what_was_cut_off_replaces_no_file_and_is_told(tmp_path):
    async def cut_off(request):
        response = web.StreamResponse()
        response.content_type = "application/jsonl"
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(LINES)
        request.transport.abort()
        return response

    (tmp_path / "all.jsonl").write_text("from before")
    code, _, told = await exported(cut_off, "-o", str(tmp_path / "all.jsonl"))
    assert code == 1
    assert told.startswith("red-stats: not all came from http://127.0.0.1:")
    assert len(told.splitlines()) == 1
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("all.jsonl", "from before")]


async def test_a_refusal_is_told_in_its_words(tmp_path):
    async def refused(request):
        return web.json_response({"detail": "Send a valid API key."}, status=401)

    code, _, told = await exported(refused, "-o", str(tmp_path / "x"))
    assert (code, told.strip().rpartition(" refuses: ")[2]) == (2, "Send a valid API key.")
    code, _, told = await exported(refused, "-o", str(tmp_path / "no" / "x"))
    assert (code, "cannot be written" in told, len(told.splitlines())) == (1, True, 1)


def test_what_is_written_is_what_the_service_sends():
    assert {name: one.content_type for name, one in FORMATS.items()} == CONTENT_TYPES
