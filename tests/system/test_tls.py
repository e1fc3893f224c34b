"""Both services over HTTPS, and over nothing else: the whole flow, and everything of ours that calls them."""

import asyncio
import json
import subprocess
import urllib.request
from contextlib import ExitStack

import aiohttp
import pytest

from tests.builders import a_client_of
from tests.conftest import PARTITIONS
from tests.locked_kafka import Authority, tls_of
from tests.services import an_api, bearer, red, running, worker
from tests.system.records import measured
from tests.system.test_locks import flowed
from tests.system.test_up import curl_lines
from tests.system.up import ROOT


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path / "authority")


async def told_by(workers, kafka, number, **options):
    """What each worker answers about a client of a partition."""
    client_id = a_client_of(number, PARTITIONS)
    async with an_api(kafka, *workers, client_id=client_id) as api:
        [position] = await measured(kafka, client_id, [0.3])
        asked = [api.call("GET", f"{one.url}/v1/live?at_least={position}", **options) for one in workers]
        return client_id, await asyncio.gather(*asked)


async def test_an_image_goes_through_both_services_over_https(kafka, folders, authority):
    """Two servers of RED, two workers that pass requests on, all with one certificate."""
    tls = tls_of(authority.certificate("red"))
    with (
        running(red(kafka, folders[0], **tls, RED_SERVERS="2", RED_DECODE_WORKERS="1")) as service,
        running(worker(kafka, folders[0], **tls)) as one,
        running(worker(kafka, folders[1], role="live", **tls)) as two,
    ):
        async with an_api(kafka, service, one, two) as api:
            await flowed(api, service, one)
            page = {"Origin": f"https://127.0.0.1:{6066}"} | bearer(api.key)
            async with api.session.get(f"{service.url}/red/images/x", headers=page) as answer:
                assert answer.headers["Access-Control-Allow-Origin"] == page["Origin"]
            with pytest.raises(aiohttp.ClientError):
                await api.session.get(f"http://127.0.0.1:{service.port}/health/live")
        for number in range(PARTITIONS):
            client_id, answers = await told_by((one, two), kafka, number)
            assert [(status, body["client_id"]) for status, body in answers] == [(200, client_id)] * 2
        logs = service.log.read_text() + one.log.read_text() + two.log.read_text()
    assert f"https://127.0.0.1:{service.port}" in logs
    assert "Traceback" not in logs


async def test_workers_with_certificates_of_their_own_trust_their_authority(kafka, folders, authority):
    ca = {"RED_TLS_CA": str(authority.ca)}
    with ExitStack() as stack:
        workers = [
            stack.enter_context(
                running(worker(kafka, folder, "live", **tls_of(authority.certificate(folder.name)), **ca))
            )
            for folder in folders
        ]
        for number in range(PARTITIONS):
            client_id, answers = await told_by(workers, kafka, number)
            assert [(status, body["client_id"]) for status, body in answers] == [(200, client_id)] * 2


async def test_a_worker_that_shows_another_certificate_is_not_trusted_and_this_is_told(
    kafka, folders, authority
):
    with ExitStack() as stack:
        workers = [
            stack.enter_context(
                running(worker(kafka, folder, "live", **tls_of(authority.certificate(folder.name))))
            )
            for folder in folders
        ]
        _, answers = await told_by(workers, kafka, 0, patient=False)
        logs = "".join(one.log.read_text() for one in workers)
    assert sorted(status for status, _ in answers) == [200, 503]
    assert "is not trusted: check RED_TLS_CA and RED_TLS_CERT" in logs


def test_what_up_says_can_be_pasted_and_speaks_https(up_with_tls):
    lines = curl_lines(up_with_tls.out.read_text())
    lines = "\n".join(line for line in lines.splitlines() if "webhook_url" not in line)
    done = subprocess.run(
        ["bash", "-ec", lines], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 0, done.stderr
    assert "--cacert" in lines
    assert "http://127" not in lines
    assert '"images":' in done.stdout
    assert up_with_tls.out.read_text().startswith(
        f"ready RED {up_with_tls.red} RED_STATS {up_with_tls.stats} "
    )


@pytest.mark.parametrize(
    "arguments",
    [("send", str(ROOT / "docs/images/poppies.jpg")), ("rebuild", "all"), ("verify",), ("lag",), ("doctor",)],
    ids=lambda arguments: arguments[0],
)
def test_every_command_finds_the_services_over_https(up_with_tls, arguments):
    done = up_with_tls.command(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    if arguments[0] == "doctor":
        [found] = [one for one in json.loads(done.stdout) if one["what"] == "certificate"]
        assert found["good"]
        assert "for localhost, 127.0.0.1, until " in found["found"]


def test_a_url_that_is_given_is_trusted_by_the_authorities_only(up_with_tls):
    image = str(ROOT / "docs/images/poppies.jpg")
    [_, fails] = [
        up_with_tls.command("rebuild", "live", *given) for given in ((), ("--url", up_with_tls.stats))
    ]
    assert fails.returncode == 1
    assert "certificate" in fails.stderr.lower()
    up_with_tls._settings["RED_TLS_CA"] = str(up_with_tls.folder / "authority" / "ca.pem")
    try:
        done = up_with_tls.command("send", image, "--url", up_with_tls.red)
        assert done.returncode == 0, done.stderr
        done = up_with_tls.command("rebuild", "live", "--url", up_with_tls.stats)
        assert done.returncode == 0, done.stderr
    finally:
        del up_with_tls._settings["RED_TLS_CA"]


def test_metrics_are_not_public_through_a_proxy_on_this_machine(up_with_tls):
    from tests.services import trusted_with

    for url in (up_with_tls.red, up_with_tls.stats):
        request = urllib.request.Request(f"{url}/metrics", headers={"X-Forwarded-For": "198.51.100.7"})
        context = trusted_with(up_with_tls.environment)
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(request, context=context)
        with urllib.request.urlopen(f"{url}/metrics", context=context) as answer:
            assert answer.status == 200
