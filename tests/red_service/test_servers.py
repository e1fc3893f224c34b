"""RED_SERVERS: several processes serve one port, and nobody notices which one answers."""

import asyncio
import os
import subprocess
import sys
import urllib.request

import psutil
import pytest

from red_service.settings import Settings
from tests.red_service import builders as b
from tests.services import an_api, red, running

pytestmark = pytest.mark.system
GOOD = b.a_png()


@pytest.fixture(scope="module")
def service(kafka, tmp_path_factory):
    folder = tmp_path_factory.mktemp("servers")
    with running(red(kafka, folder, RED_SERVERS="2", RED_DECODE_WORKERS="2", RED_INSTANCE="red")) as service:
        yield service


def servers_of(service):
    return psutil.Process(service.process.pid).children()


async def until_two_serve(service):
    """Returns the pids of the servers once each of them listens."""
    async with asyncio.timeout(40):
        while True:
            listening = [one.pid for one in servers_of(service) if listens(one, service.port)]
            if len(listening) == 2:
                return set(listening)
            await asyncio.sleep(0.05)


def listens(process, port):
    try:
        return any(one.status == "LISTEN" and one.laddr.port == port for one in process.net_connections())
    except psutil.Error:
        return False


async def over_many_connections(kafka, service, count):
    """The image ids of images that were each sent over a connection of its own."""
    async with an_api(kafka, service) as api:
        url = f"{service.url}/red"
        headers = {"Content-Type": "image/png", "Connection": "close"}
        await until_every_server_knows(api, service)
        answers = [await api.call("POST", url, data=GOOD, headers=headers) for _ in range(count)]
    assert {status for status, _ in answers} == {200}
    return {answer["image_id"] for _, answer in answers}


async def until_every_server_knows(api, service):
    """A key reaches each server on its own way: none of many connections in a row meets one without it."""
    url, known = f"{service.url}/red/images/x", 0
    while known < 20:
        status, _ = await api.call("GET", url, headers={"Connection": "close"})
        known = 0 if status == 401 else known + 1


def measured(service):
    with urllib.request.urlopen(f"{service.url}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    found = [line for line in lines if line.startswith("red_images_total{") and 'outcome="measured"' in line]
    return sum(float(line.rpartition(" ")[2]) for line in found)


async def test_metrics_are_those_of_all_servers_whichever_answers(kafka, service):
    await until_two_serve(service)
    before = measured(service)
    assert len(await over_many_connections(kafka, service, 30)) == 30
    assert {measured(service) for _ in range(10)} == {before + 30}


async def test_a_server_that_is_killed_is_started_again_and_counts_nothing_twice(kafka, service):
    before, had = await until_two_serve(service), measured(service)
    victim = psutil.Process(min(before))
    victim.kill()
    assert psutil.wait_procs([victim], timeout=20)[1] == []
    after = await until_two_serve(service)
    assert len(before & after) == 1
    await over_many_connections(kafka, service, 20)
    assert measured(service) == had + 20


async def test_each_server_has_its_share_of_the_decoders_and_one_kept_for_others(service):
    await until_two_serve(service)
    assert [len(server.children()) for server in servers_of(service)] == [2, 2]


async def test_no_server_outlives_the_process_that_started_it(kafka, tmp_path):
    with running(red(kafka, tmp_path, RED_SERVERS="2", RED_DECODE_WORKERS="2")) as service:
        await until_two_serve(service)
        servers = servers_of(service)
        service.kill()
        psutil.wait_procs(servers, timeout=20)
        assert not any(server.is_running() for server in servers)


async def test_sigterm_ends_every_server_and_the_exit_code_is_0(kafka, tmp_path):
    with running(red(kafka, tmp_path, RED_SERVERS="2", RED_DECODE_WORKERS="2")) as service:
        await until_two_serve(service)
        servers = servers_of(service)
        service.process.terminate()
        assert service.process.wait(20) == 0
        assert not any(server.is_running() for server in servers)


def test_a_port_that_is_taken_ends_all_with_exit_code_2(kafka, service, tmp_path):
    environment = os.environ | service.environment() | {"RED_KAFKA": kafka, "RED_SERVERS": "2"}
    with running(red(kafka, tmp_path)) as other:
        done = subprocess.run(
            [sys.executable, "-m", "red_service"],
            env=environment | {"RED_PORT": str(other.port)}, stderr=subprocess.PIPE, text=True, timeout=60,
        )  # fmt: skip
    assert done.returncode == 2
    assert "cannot listen" in done.stderr


def test_settings_name_a_server_and_share_what_there_is():
    given = Settings(servers=4, decode_workers=8, body_memory=1 << 30, instance="here")
    assert (given.workers, given.bodies) == (2, 256 << 20)
    assert given.of_server("3").instance == "here-3"
    assert Settings(servers=4, decode_workers=1).workers == 1
    assert Settings(servers=4).bodies == 128 << 20
    assert Settings().of_server("3").instance is None


def test_red_without_a_secret_key_says_so_in_one_line(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "RED_SECRET_KEY"}
    done = subprocess.run(
        [sys.executable, "-m", "red_service"],
        env=environment | {"RED_DATA": str(tmp_path)}, stderr=subprocess.PIPE, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == f"red: {tmp_path}/secret.key is missing: restore it or set RED_SECRET_KEY\n"
