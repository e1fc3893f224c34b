"""A ClickHouse server behind TLS: what goes out to it, and what is said where it is not to be trusted."""

import asyncio
import base64
import ssl
import threading
from contextlib import contextmanager

import pytest
from aiohttp import web

from red_stats.local.doctor import examine
from red_stats.settings import Settings
from red_stats.store.clickhouse import Store, StoreUnusable
from tests.locked_kafka import Authority

PASSWORD = "pass-word"


class Server:
    """Lets nobody in, and keeps what it was asked with."""

    def __init__(self, context):
        self.context, self.users = context, []
        self._ready, self._loop = threading.Event(), asyncio.new_event_loop()

    async def _answer(self, request):
        self.users.append(request.headers.get("Authorization"))
        return web.Response(status=516, text="Code: 516. DB::Exception: red: Authentication failed.")

    async def _serve(self):
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "0.0.0.0", 0, ssl_context=self.context).start()
        self.port = runner.addresses[0][1]
        self._stop = asyncio.Event()
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()

    @contextmanager
    def running(self):
        thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))
        thread.start()
        assert self._ready.wait(20)
        try:
            yield self
        finally:
            self._loop.call_soon_threadsafe(self._stop.set)
            thread.join(20)
            self._loop.close()


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path / "authority")


@pytest.fixture
def server(authority):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*authority.certificate("clickhouse"))
    with Server(context).running() as server:
        yield server


def why_unusable(url):
    store = Store(url)
    with pytest.raises(StoreUnusable) as unusable:
        store.open()
    store.close()
    assert PASSWORD not in str(unusable.value)
    return str(unusable.value)


def test_user_and_password_go_to_a_server_whose_certificate_the_named_authority_has_signed(server, authority):
    why = why_unusable(f"https://red:{PASSWORD}@127.0.0.1:{server.port}?ca_cert={authority.ca}")

    assert "Authentication failed" in why
    assert set(server.users) == {"Basic " + base64.b64encode(f"red:{PASSWORD}".encode()).decode()}


def test_doctor_tells_why_a_server_cannot_be_used(server, authority, tmp_path):
    url = f"https://red:{PASSWORD}@127.0.0.1:{server.port}"
    findings = examine(Settings(data=tmp_path, clickhouse=url))

    [told] = [one for one in findings if one.what == "store"]

    assert (told.good, "CERTIFICATE_VERIFY_FAILED" in told.found) == (False, True)
    assert PASSWORD not in told.found


def test_nothing_goes_to_a_server_that_nobody_vouches_for(server):
    assert "CERTIFICATE_VERIFY_FAILED" in why_unusable(f"https://red:{PASSWORD}@127.0.0.1:{server.port}")
    assert server.users == []


def test_nothing_goes_to_a_server_with_another_name(server, authority):
    url = f"https://red:{PASSWORD}@127.0.0.2:{server.port}?ca_cert={authority.ca}"
    assert "IP address mismatch" in why_unusable(url)
    assert server.users == []
