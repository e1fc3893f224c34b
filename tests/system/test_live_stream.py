"""`/v1/live/stream` of running workers: any of them streams any client's counts."""

import asyncio
import json
from contextlib import ExitStack

import pytest

from tests.builders import a_client_of
from tests.conftest import PARTITIONS
from tests.services import an_api, bearer, running, worker
from tests.system.records import measured


async def until_told(stream, images):
    """The counts of the first event with so many images of the last day."""
    while event := await stream.content.readuntil(b"\n\n"):
        if event.startswith(b"event: live\ndata: "):
            live = json.loads(event.partition(b"data: ")[2])
            if live["totals"]["24h"]["images"] >= images:
                return live
    raise EOFError


async def test_any_worker_streams_the_counts_of_any_client_as_live_has_them(kafka, folders):
    with ExitStack() as stack:
        workers = [stack.enter_context(running(worker(kafka, folder, role="live"))) for folder in folders]
        for number in range(PARTITIONS):
            client_id = a_client_of(number, PARTITIONS, prefix="streams")
            async with an_api(kafka, *workers, client_id=client_id) as api:
                for count, asked in enumerate(workers, start=1):
                    headers = bearer(api.key)
                    async with api.session.get(f"{asked.url}/v1/live/stream", headers=headers) as stream:
                        await until_told(stream, count - 1)
                        [position] = await measured(kafka, client_id, [0.3])
                        told = await until_told(stream, count)
                        _, live = await api.call("GET", f"{asked.url}/v1/live?at_least={position}")
                        assert told["windows"] == live["windows"]
                        assert told["as_of"]["offset"] == live["as_of"]["offset"]


async def test_a_stream_ends_properly_when_its_worker_stops(kafka, folders):
    one = worker(kafka, folders[0], role="live").until_ready()
    async with (
        an_api(kafka, one) as api,
        api.session.get(f"{one.url}/v1/live/stream", headers=bearer(api.key)) as stream,
    ):
        await until_told(stream, 0)

        stopping = asyncio.create_task(asyncio.to_thread(one.stop))

        with pytest.raises(EOFError):
            await until_told(stream, 1)
        await stopping
