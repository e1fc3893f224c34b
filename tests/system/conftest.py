"""One `red-stats up` for the tests that use it as people do."""

import aiohttp
import pytest

from tests.locked_kafka import Authority, tls_of
from tests.services import Api, an_api, red, running, worker
from tests.system.up import Up


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
