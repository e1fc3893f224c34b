"""Folds replayed from the log, told line by line as it goes: live by `POST /v1/rebuild?partition=`."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from aiohttp import web

from red_common.problems import Problem
from red_common.web.auth import CALLER
from red_stats.replay.rebuild_live import LiveReplay
from red_stats.replay.rebuild_store import RecordReplay
from red_stats.resources import Parts
from red_stats.web.owner_proxy import Owners
from red_stats.web.parameters import count_of, known

log = logging.getLogger(__name__)

PROGRESS_SECONDS = 0.5


class Rebuild:
    """For operators: a key with the scope admin."""

    def __init__(self, parts: Parts, owners: Owners) -> None:
        self._parts = parts
        self._owners = owners

    def routes(self) -> list[web.RouteDef]:
        """Where it is."""
        return [web.post("/v1/rebuild", self.post)]

    async def post(self, request: web.Request) -> web.StreamResponse:
        """Replays one partition here, or says who holds it (307)."""
        caller = request[CALLER]
        if not caller.may("admin"):
            raise Problem("admin_only", "Only a key with the scope admin may rebuild.")
        partitions = self._parts.settings.partitions
        number = count_of(known(request, "partition"), "partition", -1, 0, partitions - 1)
        live = self._parts.ownerships["live"]
        if number not in live.owned:
            owner = self._owners.url_of(number)
            if owner is None:
                raise Problem("not_ready", "Nobody holds that partition now; try again.")
            return web.Response(status=307, headers={"Location": f"{owner}{request.rel_url}"})
        replay = LiveReplay(
            live,
            number,
            connection=self._parts.settings.connection,
            partitions=partitions,
            retention_ms=int(self._parts.settings.live_hours * 3_600_000),
        )

        async def work() -> dict[str, Any]:
            return (await replay.run())._asdict()

        return await told(request, work(), lambda: {"done": replay.done, "total": replay.total})


async def rebuild_record(parts: Parts, request: web.Request) -> web.StreamResponse:
    """The store's tables one after the other, for the loopback server of role record."""
    settings = parts.settings
    assert parts.store is not None
    if set(parts.ownerships["record"].owned) != set(range(settings.partitions)):
        raise web.HTTPConflict(
            text="this worker does not hold all partitions of role record: stop the others"
        )
    replays = [
        RecordReplay(recorder, parts.store, connection=settings.connection, writer=parts.writer)
        for recorder in parts.recorders.values()
    ]

    async def work() -> dict[str, Any]:
        for replay in replays:
            await replay.run()
        return {replay.table: {"rows": replay.rows, "copied": replay.copied} for replay in replays}

    def progress() -> dict[str, Any]:
        return {"done": sum(r.done for r in replays), "total": sum(r.total for r in replays)}

    return await told(request, work(), progress)


async def told(
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
