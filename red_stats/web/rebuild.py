"""Folds replayed from the log, with their progress line by line: live by `POST /v1/rebuild?partition=`."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
from aiohttp import web

from red_common.problems import Problem
from red_common.web.auth import CALLER
from red_stats.replay.rebuild_live import LiveReplay
from red_stats.replay.rebuild_store import StoreReplay
from red_stats.resources import Resources
from red_stats.store.recorder import Recorder
from red_stats.tables.live import LiveTables
from red_stats.tables.partition_state import PartitionStates
from red_stats.tables.record import RecordTables
from red_stats.web.owner_proxy import OwnerProxy
from red_stats.web.parameters import count_of, known

log = logging.getLogger(__name__)

PROGRESS_SECONDS = 0.5


class Rebuild:
    """For operators: a key with the scope admin."""

    def __init__(self, resources: Resources, states: PartitionStates[LiveTables], proxy: OwnerProxy) -> None:
        self._states = states
        self._resources = resources
        self._proxy = proxy

    def routes(self) -> list[web.RouteDef]:
        """Where it is."""
        return [web.post("/v1/rebuild", self.post)]

    async def post(self, request: web.Request) -> web.StreamResponse:
        """Replays one partition here, or says who holds it (307)."""
        caller = request[CALLER]
        if not caller.may("admin"):
            raise Problem("admin_only", "Only a key with the scope admin may rebuild.")
        partitions = self._resources.settings.partitions
        number = count_of(known(request, "partition"), "partition", -1, 0, partitions - 1)
        if number not in self._states.held:
            owner = self._proxy.url_of(number)
            if owner is None:
                raise Problem("not_ready", "Nobody holds that partition now; try again.")
            return web.Response(status=307, headers={"Location": f"{owner}{request.rel_url}"})
        replay = LiveReplay(
            self._states,
            number,
            connection=self._resources.settings.connection,
            partitions=partitions,
            retention_ms=int(self._resources.settings.live_hours * 3_600_000),
        )

        async def work() -> dict[str, Any]:
            return (await replay.run())._asdict()

        return await streamed(request, work(), lambda: {"done": replay.done, "total": replay.total})


async def rebuild_store(
    resources: Resources,
    states: PartitionStates[RecordTables],
    recorders: Mapping[str, Recorder],
    request: web.Request,
) -> web.StreamResponse:
    """The store's tables one after the other, for the loopback server of role record."""
    settings, store = resources.settings, resources.store
    assert store is not None
    if set(states.held) != set(range(settings.partitions)):
        raise web.HTTPConflict(
            text="this worker does not hold all partitions of role record: stop the others"
        )
    replays = [
        StoreReplay(recorder, store, connection=settings.connection, writer=resources.writer)
        for recorder in recorders.values()
    ]

    async def work() -> dict[str, Any]:
        for replay in replays:
            await replay.run()
        return {replay.table: {"rows": replay.rows, "copied": replay.copied} for replay in replays}

    def progress() -> dict[str, Any]:
        return {"done": sum(r.done for r in replays), "total": sum(r.total for r in replays)}

    return await streamed(request, work(), progress)


async def streamed(
    request: web.Request, work: Awaitable[dict[str, Any]], progress: Callable[[], dict[str, Any]]
) -> web.StreamResponse:
    """Lines of JSON: how far it is, and at last `result` or `error`. Goes on when nobody listens."""
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    await response.prepare(request)
    task = asyncio.ensure_future(work)
    try:
        while not (await asyncio.wait([task], timeout=PROGRESS_SECONDS))[0]:
            await response.write(orjson.dumps(progress()) + b"\n")
    except ConnectionError:
        log.warning("nobody listens to a rebuild any more; it goes on")
    try:
        last: dict[str, Any] = {"result": await task}
    except Exception as error:  # the answer has begun: its last line is all that can tell
        log.exception("a rebuild failed")
        last = {"error": str(error) or repr(error)}
    with contextlib.suppress(ConnectionError):
        await response.write(orjson.dumps(last) + b"\n")
        await response.write_eof()
    return response
