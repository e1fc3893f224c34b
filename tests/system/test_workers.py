"""Several workers of role live share the clients; any of them answers about any client."""

import asyncio
import itertools
import json
import time
import urllib.request
from contextlib import ExitStack

import pytest

from tests.builders import a_client_of
from tests.conftest import PARTITIONS, free_port
from tests.services import an_api, running, worker
from tests.system.records import measured


async def _counts(api, service, position, **options):
    return await api.call("GET", f"{service.url}/v1/live?at_least={position}", **options)


async def test_any_worker_answers_about_any_client_waits_for_any_position_and_takes_commands(kafka, folders):
    with ExitStack() as stack:
        one, two = (stack.enter_context(running(worker(kafka, folder, role="live"))) for folder in folders)
        for number in range(PARTITIONS):
            client_id = a_client_of(number, PARTITIONS)
            async with an_api(kafka, one, two, client_id=client_id) as api:
                [position] = await measured(kafka, client_id, [0.3])
                for asked in (one, two):
                    status, body = await _counts(api, asked, position)
                    assert (status, body["client_id"]) == (200, client_id)
                    assert body["as_of"]["partition"] == number
                    assert body["totals"]["24h"]["images"] >= 1
        async with an_api(kafka, one, two) as api:
            for asked in (one, two):
                subscription = await api.subscribed(asked, "https://example.com/h", 0.5)
                url = f"{two.url}/v1/subscriptions/{subscription['id']}"
                async with asyncio.timeout(30):  # the other one follows, and a busy machine follows late
                    while (await api.call("GET", url))[0] != 200:  # noqa: ASYNC110
                        await asyncio.sleep(0.05)
            late = [_counts(api, one, f"{number}:{10**9}", patient=False) for number in range(PARTITIONS)]
            answers = await asyncio.gather(*late)
            assert {(status, body["code"]) for status, body in answers} == {(503, "not_yet")}


def held(service):
    with urllib.request.urlopen(f"{service.url}/health/ready", timeout=5) as answer:
        return json.load(answer)["partitions"]["live"]


def settled(*services):
    """What each holds once they hold everything between them: one that rebalances holds nothing."""
    deadline = time.monotonic() + 20
    while True:
        found = [held(service) for service in services]
        if sorted(itertools.chain(*found)) == list(range(PARTITIONS)):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


@pytest.mark.parametrize("names", [("", ""), ("one", "two")], ids=["nameless", "named"])
async def test_a_worker_that_stops_leaves_its_clients_to_the_other_within_5_s(kafka, folders, names):
    with running(worker(kafka, folders[0], role="live", RED_INSTANCE=names[0])) as one:
        two = worker(kafka, folders[1], role="live", RED_INSTANCE=names[1]).until_ready()
        [number, *_] = settled(one, two)[1]
        two.stop()
        started = time.monotonic()
        async with an_api(kafka, one, client_id=a_client_of(number, PARTITIONS)) as api:
            [position] = await measured(kafka, api.client_id, [0.3])
            status, _ = await _counts(api, one, position)
            assert status == 200
            assert time.monotonic() - started < 5


async def test_a_worker_that_is_lost_is_replaced_within_its_session_and_3_s(kafka, folders):
    session = 6  # as tests.services.worker sets it
    with running(worker(kafka, folders[0], role="live")) as one:
        two = worker(kafka, folders[1], role="live").until_ready()
        [number, *_] = settled(one, two)[1]
        two.kill()
        killed = time.monotonic()
        async with an_api(kafka, one, client_id=a_client_of(number, PARTITIONS)) as api:
            [position] = await measured(kafka, api.client_id, [0.3])
            late = session + 3 + 3  # and what this noisy machine adds
            while (await _counts(api, one, position, patient=False))[0] != 200:
                assert time.monotonic() - killed < late
            assert time.monotonic() - killed < late


async def test_a_named_worker_that_was_killed_is_back_in_3_s_without_a_rebalance(kafka, folders):
    with ExitStack() as stack:
        one, two = (
            stack.enter_context(running(worker(kafka, folder, role="live", RED_INSTANCE=folder.name)))
            for folder in folders
        )
        before = settled(one, two)
        two.kill()
        started = time.monotonic()
        two.start()
        two.until_ready()
        assert time.monotonic() - started < 3 + 3  # and what this noisy machine adds
        assert settled(one, two) == before

        port = free_port()
        two.kill()
        two.url = f"http://127.0.0.1:{port}"
        two.start(RED_STATS_PORT=str(port))
        two.until_ready()  # under another address, which the other one is told
        async with an_api(kafka, one, client_id=a_client_of(held(two)[0], PARTITIONS)) as api:
            [position] = await measured(kafka, api.client_id, [0.3])
            assert (await _counts(api, one, position))[0] == 200
