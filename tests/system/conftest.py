"""One `red-stats up` for the tests that use it as people do."""

import aiohttp
import pytest

from tests.services import Api
from tests.system.up import Up


@pytest.fixture(scope="package")
def up(tmp_path_factory):
    up = Up(tmp_path_factory.mktemp("up"), RED_WEBHOOK_SCHEDULE="1,4,30,300")
    up.start()
    yield up
    up.stop()


@pytest.fixture
async def demo(up):
    async with aiohttp.ClientSession() as session:
        yield Api(session, up.keys["demo"]["api_key"], "demo")
