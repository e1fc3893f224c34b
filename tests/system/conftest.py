"""One `red-stats up` for the tests that use it as people do."""

import os
import shutil

import aiohttp
import pytest
from playwright.async_api import async_playwright, expect

from tests.locked_kafka import Authority, tls_of
from tests.receiver import Receiver
from tests.services import Api, an_api, red, running, worker
from tests.system.looker import Looker
from tests.system.up import Up

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
)  # fmt: skip
OURS = ("data:", "blob:http://127.0.0.1")
SECONDS = 20  # that a page may take for what is expected of it: a busy machine is no failure
expect.set_options(timeout=SECONDS * 1000)


@pytest.fixture(scope="package")
def up(tmp_path_factory):
    up = Up(tmp_path_factory.mktemp("up"), RED_WEBHOOK_SCHEDULE="1,4,30,300")
    up.start()
    yield up
    up.stop()


@pytest.fixture(scope="package")
def up_with_tls(tmp_path_factory):
    folder = tmp_path_factory.mktemp("up-tls")
    up = Up(folder, **tls_of(Authority(folder / "authority").certificate("red")))
    up.start()
    yield up
    up.stop()


@pytest.fixture
def folders(tmp_path):
    made = [tmp_path / name for name in ("one", "two")]
    for folder in made:
        folder.mkdir()
    return made


@pytest.fixture
async def demo(up):
    async with aiohttp.ClientSession() as session:
        yield Api(session, up.keys["demo"]["api_key"], "demo")


@pytest.fixture(scope="module")
def service(kafka, tmp_path_factory):
    with running(red(kafka, tmp_path_factory.mktemp("flow-red"), RED_DECODE_WORKERS="1")) as service:
        yield service


@pytest.fixture(scope="module")
def stats(kafka, tmp_path_factory):
    with running(worker(kafka, tmp_path_factory.mktemp("flow"), RED_WEBHOOK_TIMEOUT="5")) as service:
        yield service


@pytest.fixture
async def api(kafka, service, stats):
    async with an_api(kafka, service, stats) as api:
        yield api


@pytest.fixture
async def receiver():
    async with Receiver(204) as receiver:
        yield receiver


@pytest.fixture
def expected():
    """Words of errors in the browser's console that a test provokes."""
    return []


@pytest.fixture
async def page(expected):
    """A page that fails the test when it asks another host or meets an error that is not expected."""
    if CHROMIUM is None:
        assert "CI" not in os.environ, "CI has no Chromium"
        pytest.skip("no Chromium here: apt-get install chromium")
    async with async_playwright() as play:
        browser = await play.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        # Chromium has its own authorities
        context = await browser.new_context(ignore_https_errors=True, timezone_id="Europe/Berlin")
        context.set_default_timeout(SECONDS * 1000)
        wrong = []
        context.on("weberror", lambda error: wrong.append(str(error.error)))
        context.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        context.on("request", lambda asked: wrong.append(asked.url) if "127.0.0.1" not in asked.url
                   and not asked.url.startswith(OURS) else None)  # fmt: skip
        yield await context.new_page()
        await browser.close()
        assert [one for one in wrong if not any(words in one for words in expected)] == []


@pytest.fixture(scope="package")
def looker(up):
    return Looker(up).with_a_past()
