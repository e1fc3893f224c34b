"""Replays folds from the log and streams the progress, a line at a time; `POST /v1/rebuild` replays live."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
from aiohttp import web

from red_common.problems import Problem
from red_common.web.auth import ACT, CALLER, act_of
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
    """The view `/v1/rebuild`, for operators: it needs a key with the scope admin."""

    def __init__(self, resources: Resources, states: PartitionStates[LiveTables], proxy: OwnerProxy) -> None:
        self._states = states
        self._resources = resources
        self._proxy = proxy

    def routes(self) -> list[web.RouteDef]:
        """The route of this view."""
        return [web.post("/v1/rebuild", self.post)]

    async def post(self, request: web.Request) -> web.StreamResponse:
        """Replay one partition (parameter `partition`) here, or redirect to its owner (307)."""
        caller = request[CALLER]
        if not caller.may("admin"):
            raise Problem("admin_only", "Rebuilding needs a key with the scope admin.")
        partitions = self._resources.settings.partitions
        number = count_of(known(request, "partition"), "partition", -1, 0, partitions - 1)
        if number not in self._states.held:
            owner = self._proxy.url_of(number)
            if owner is None:
                raise Problem("not_ready", "No worker holds this partition now; try again.")
            return web.Response(status=307, headers={"Location": f"{owner}{request.rel_url}"})
        request[ACT] = act_of(request, "rebuild", target=f"live/{number}", client_id=None)
        replay = LiveReplay(
            self._states,
            number,
            connection=self._resources.settings.connection,
            partitions=partitions,
            retention_ms=int(self._resources.settings.live_hours * 3_600_000),
        )

        async def work() -> dict[str, Any]:
            return (await replay.run())._asdict()

        return await stream_progress(request, work(), lambda: {"done": replay.done, "total": replay.total})


async def rebuild_store(
    resources: Resources,
    states: PartitionStates[RecordTables],
    recorders: Mapping[str, Recorder],
    request: web.Request,
) -> web.StreamResponse:
    """Rebuild the tables of the store one after the other, for the loopback server of role record."""
    settings, store = resources.settings, resources.store
    assert store is not None
    if set(states.held) != set(range(settings.partitions)):
        raise web.HTTPConflict(
            text="this worker does not hold all partitions of role record: stop the other workers"
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

    return await stream_progress(request, work(), progress)


async def stream_progress(
    request: web.Request, work: Awaitable[dict[str, Any]], progress: Callable[[], dict[str, Any]]
) -> web.StreamResponse:
    """Answer with lines of JSON: progress, finally `result` or `error`. Work goes on without a reader."""
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    await response.prepare(request)
    task = asyncio.ensure_future(work)
    try:
        while not (await asyncio.wait([task], timeout=PROGRESS_SECONDS))[0]:
            await response.write(orjson.dumps(progress()) + b"\n")
    except ConnectionError:
        log.warning("the client of a rebuild has disconnected; the rebuild goes on")
    try:
        last: dict[str, Any] = {"result": await task}
    except Exception as error:  # the status is sent already, so the last line reports it
        log.exception("a rebuild failed")
        last = {"error": str(error) or repr(error)}
    with contextlib.suppress(ConnectionError):
        await response.write(orjson.dumps(last) + b"\n")
        await response.write_eof()
    return response
