"""`send` stops where it makes no sense to go on, and says in one line what was done."""

import asyncio
import signal
import sys

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.services import hear_interrupts

pytestmark = pytest.mark.system  # starts red-stats
FILES, CONCURRENCY = 30, 2
ITEM = {"red": 0.5, "image_id": "01a20dac-56fd-7d2d-866d-17552c5fd85a"}


@pytest.fixture
def album(tmp_path):
    for number in range(FILES):
        (tmp_path / f"{number}.png").write_bytes(b"an image")
    return tmp_path


class Red:
    """Answers the first `good` requests with an item, and what comes after them as it is told."""

    def __init__(self, good, answer):
        self.asked, self.good, self.answer = 0, good, answer
        self.is_past = asyncio.Event()

    async def measure(self, request):
        self.asked += 1
        if self.asked <= self.good:
            return web.json_response(ITEM)
        if self.asked == self.good + CONCURRENCY:
            self.is_past.set()  # every file before has its answer
        return await self.answer()


async def started(album, red):
    app = web.Application()
    app.router.add_post("/red", red.measure)
    server = TestServer(app)
    await server.start_server()
    command = [
        "-m", "red_stats", "send", str(album), "--url", str(server.make_url("")), "--client-key", "red_x_y",
        "--concurrency", str(CONCURRENCY),
    ]  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        preexec_fn=hear_interrupts,
    )  # fmt: skip
    return server, process


async def ended(server, process):
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    await server.close()
    return process.returncode, out.decode(), err.decode()


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("good", [0, 5])
async def test_send_stops_at_a_refused_key_with_one_line(album, status, good):
    async def refused():
        return web.json_response({"code": "unauthenticated", "detail": "No such key."}, status=status)

    red = Red(good, refused)
    code, out, err = await ended(*await started(album, red))

    assert (code, out) == (2, "")
    [line] = err.splitlines()
    assert "refuses the key: unauthenticated: No such key." in line
    assert f"{good} measured, 0 failed, {FILES - good} not sent" in line
    assert red.asked <= good + CONCURRENCY


async def test_send_goes_on_when_one_file_does_not_fit_the_quota(album):
    async def over_quota():
        return web.json_response({"code": "image_quota_exceeded", "detail": "No room."}, status=403)

    red = Red(FILES - 1, over_quota)
    code, out, err = await ended(*await started(album, red))

    assert code == 1
    assert "image_quota_exceeded" in out
    assert "refuses the key" not in err
    assert red.asked == FILES


async def test_an_interrupted_send_ends_in_one_line_with_what_was_done(album):
    async def never():
        await asyncio.Event().wait()

    red = Red(5, never)
    server, process = await started(album, red)
    async with asyncio.timeout(60):
        await red.is_past.wait()
    process.send_signal(signal.SIGINT)
    code, out, err = await ended(server, process)

    assert (code, out) == (130, "")
    [line] = err.splitlines()
    assert line.startswith("red-stats: interrupted: ")
    numbers = [int(word) for word in line.split() if word.isdigit()]
    assert (numbers[0], sum(numbers)) == (5, FILES)
