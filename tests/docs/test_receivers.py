"""The receivers that docs/alerts.md shows are those in docs/receivers/, and treat every request right."""

import asyncio
import contextlib
import json
import os
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError

from red_stats.domain import delivery_kinds
from tests.conftest import free_port

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "alerts.md").read_text()
BLOCKS = re.findall(r"^```\w*\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
NOT_SHOWN = {"go.sum"}
SHOWN = sorted(
    path for path in (DOCS / "receivers").rglob("*") if path.is_file() and path.name not in NOT_SHOWN
)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@contextlib.asynccontextmanager
async def running(*command, **environment):
    process = await asyncio.create_subprocess_exec(
        sys.executable, *map(str, command), env=os.environ | environment,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def until_listening(port):
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("path", SHOWN, ids=lambda path: str(path.relative_to(DOCS)))
def test_the_page_shows_each_file_as_it_is(path):
    assert path.read_text() in BLOCKS


def test_no_file_says_where_packages_come_from():
    for path in (DOCS / "receivers").rglob("*"):
        if path.is_file():
            assert not re.search(r"https?://(?!127)|registry", path.read_text()), path


@pytest.mark.system
async def test_the_receiver_in_python_treats_every_request_right():
    port = free_port()
    receiver = DOCS / "receivers" / "python" / "receiver.py"
    async with running(receiver, RED_WEBHOOK_SECRET=SECRET, PORT=str(port)) as process:
        await until_listening(port)

        check = (
            "-m",
            "red_stats",
            "check-receiver",
            f"http://127.0.0.1:{port}/",
            "--secret",
            SECRET,
            "--json",
        )
        async with running(*check) as checking:
            told, _ = await checking.communicate()
            found = json.loads(told)
        said = [(await process.stdout.readline()).decode() for _ in range(4)]

    assert checking.returncode == 0, found
    assert [line.split(":")[0] for line in said] == ["alert 99", "alert 102", "alerts 1 to 100", "alert 103"]


def body_shown():
    return next(block for block in BLOCKS if block.startswith('{"type":"red.alert","timestamp"')).strip()


def test_the_body_shown_is_one_of_ours_and_verifies_only_as_it_came():
    body = body_shown()
    alert = json.dumps(json.loads(body)["data"], separators=(",", ":")).encode()
    row = delivery_kinds.of_alert(b"demo", alert, 0)
    assert row.body == body.encode()
    assert row.webhook_id in PAGE

    now = datetime.now(UTC)
    signed = Webhook(SECRET).sign(row.webhook_id, now, body)
    headers = {
        "webhook-id": row.webhook_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signed,
    }
    Webhook(SECRET).verify(row.body, headers)
    again = json.dumps(json.loads(body))
    assert again == body[:8] + " " + again[9:]  # the bytes that the page names
    assert body[261 - 1 :].startswith(".0,")
    assert body[180 - 1 :].startswith(',"seq"')
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(again, headers)


@pytest.mark.system
async def test_reconciling_prints_what_a_receiver_lacks():
    asked = []

    async def alerts(request):
        assert request.headers["Authorization"] == "Bearer a-key"
        after = int(request.query["after"])
        asked.append(after)
        some = [{"seq": seq, "prev_seq": seq - 1} for seq in range(1, 7) if seq > after][:3]
        return web.json_response({"items": some, "next": str(some[-1]["seq"]) if len(some) == 3 else None})

    application = web.Application()
    application.router.add_get("/v1/alerts", alerts)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"

    program = DOCS / "receivers" / "python" / "reconcile.py"
    async with running(
        program, "a-subscription", "1", "2", "4", RED_API_KEY="a-key", RED_STATS_URL=url
    ) as process:
        printed, _ = await process.communicate()
    await runner.cleanup()

    assert [json.loads(line)["seq"] for line in printed.splitlines()] == [3, 5, 6]
    assert asked[0] == 2
    assert process.returncode == 0
