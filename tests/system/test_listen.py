"""`red-stats listen --key` beside running workers: what it prints and forwards, and how it ends."""

import asyncio
import json
import os
import signal
import sys
from contextlib import asynccontextmanager

import msgspec
import pytest

from red_stats import topics
from red_stats.domain.signatures import new_secret
from tests.receiver import Receiver
from tests.services import SECRET_KEYS, a_key, an_api, hear_interrupts, published, running, worker
from tests.system.test_alert_stream import REVOKED_AT, raised

SECRET = new_secret(bytes(range(32)))


@pytest.fixture(scope="module")
def kafka(unverified_kafka):
    return unverified_kafka


@asynccontextmanager
async def listening(folder, *arguments):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "red_stats", "listen", *arguments, stdin=-3, stdout=-1, stderr=-1,
        env=os.environ | {"RED_DATA": str(folder)}, preexec_fn=hear_interrupts,
    )  # fmt: skip
    try:
        async with asyncio.timeout(100):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def until_said(process, words):
    while words not in (line := (await process.stderr.readline()).decode()):
        assert line, f"it ended before it said {words}"


async def lines(process, count):
    return [json.loads(await process.stdout.readline()) for _ in range(count)]


async def test_a_killed_worker_costs_a_listener_no_alert_and_its_receiver_gets_each_once(kafka, tmp_path):
    with running(worker(kafka, tmp_path, role="live")) as service:
        async with an_api(kafka, service) as api, Receiver() as receiver:
            receiver.secrets.append(SECRET)
            (tmp_path / "key").write_text(api.key)
            given = ["--key", f"@{tmp_path}/key", "--url", service.url]
            given += ["--forward", receiver.url, "--secret", SECRET]
            async with listening(tmp_path, *given) as process:
                await until_said(process, "listening")
                made = await raised(kafka, api.client_id, 3)
                told = await lines(process, 3)
                await receiver.until(3)
                service.kill()
                made += await raised(kafka, api.client_id, 3)
                await until_said(process, "does not answer")
                service.start()
                service.until_ready()
                told += await lines(process, 3)
                await receiver.until(6)
                assert [alert["id"] for alert in told] == [one for _, one in made]
                assert [got.body["data"] for got in receiver.got] == told
                assert [got.id for got in receiver.got] == [f"msg_{one.replace('-', '')}" for _, one in made]
                assert all(got.verified for got in receiver.got)
                process.send_signal(signal.SIGINT)
                assert await process.wait() == 0
                assert b"Traceback" not in await process.stderr.read()


async def test_a_listener_whose_key_is_revoked_ends_with_one_line_and_code_1(kafka, stats, tmp_path):
    client_id, key, record = await a_key(kafka)
    async with (
        an_api(kafka, stats, client_id=client_id),
        listening(tmp_path, "--key", key, "--url", stats.url) as process,
    ):
        await until_said(process, "listening")
        changed = msgspec.structs.replace(record, revoked_at=REVOKED_AT)
        mac = SECRET_KEYS.sign(topics.API_KEYS, changed.signed_bytes)
        await published(kafka, msgspec.structs.replace(changed, mac=mac))
        assert await process.wait() == 1
        *_, last = (await process.stderr.read()).decode().splitlines()
        assert "unauthenticated" in last


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (["--key", "red_x_y"], 1),
        (["--key", "red_x_y", "--forward", "localhost:3000"], 2),
        (["--key", "red_x_y", "--forward", "http://127.0.0.1:1/", "--secret", "x"], 2),
        (["--key", "red_x_y", "--secret", SECRET], 2),
        (["--key", "red_x_y", "--port", "9000"], 2),
        (["--key", "@/no/such/file"], 2),
        (["--key", "ä\n"], 2),
        (["--forward", "http://127.0.0.1:1/"], 2),
        (["--subscription", "x"], 2),
        (["--port", "70000"], 2),
    ],
)
async def test_a_listener_that_cannot_begin_says_so_in_one_line(stats, tmp_path, given, code):
    url = ["--url", stats.url] if "--key" in given else []
    async with listening(tmp_path, *given, *url) as process:
        out, err = await process.communicate()
    assert (process.returncode, out, len(err.splitlines())) == (code, b"", 1), err
