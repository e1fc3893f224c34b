"""The one process that has chDB open answers queries of other processes on this machine.

Over loopback only, with a token in a file that only its owner can read (`store.json` in the data folder).
"""

import asyncio
import hmac
import json
import os
import secrets
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, Final

import orjson
from aiohttp import web

from red_common import private_files
from red_stats.store.clickhouse import Store, StoreError

FILE: Final = "store.json"

Rebuild = Callable[[web.Request], Awaitable[web.StreamResponse]]


class StoreServer:
    """Serves `POST /query` and `POST /rebuild` on a free loopback port."""

    def __init__(self, store: Store, data: Path, readers: Executor, rebuild: Rebuild) -> None:
        self._store, self._readers, self._rebuild = store, readers, rebuild
        self._path = data / FILE
        self._token = secrets.token_urlsafe(32)
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Start to listen, and write port and token to `store.json`."""
        application = web.Application(client_max_size=1 << 20)
        application.router.add_post("/query", self._query)
        application.router.add_post("/rebuild", self._rebuilt)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = self._runner.addresses[0][1]
        where = {"port": port, "token": self._token, "pid": os.getpid()}
        private_files.write(self._path, json.dumps(where))

    async def stop(self) -> None:
        """Remove `store.json` and stop listening."""
        self._path.unlink(missing_ok=True)
        if self._runner is not None:
            await self._runner.cleanup()

    def _is_ours(self, request: web.Request) -> bool:
        return hmac.compare_digest(request.headers.get("Authorization", ""), f"Bearer {self._token}")

    async def _rebuilt(self, request: web.Request) -> web.StreamResponse:
        return await self._rebuild(request) if self._is_ours(request) else web.Response(status=401)

    async def _query(self, request: web.Request) -> web.Response:
        if not self._is_ours(request):
            return web.Response(status=401)
        question = orjson.loads(await request.read())
        loop = asyncio.get_running_loop()
        # what ends a question must not wait behind it
        executor = None if question["sql"].startswith("KILL ") else self._readers
        try:
            rows = await loop.run_in_executor(
                executor, self._store.query, question["sql"], question["parameters"]
            )
        except StoreError as error:
            return web.Response(status=500, text=str(error)[:500])
        return web.Response(body=orjson.dumps(rows, default=str), content_type="application/json")


class RemoteStore:
    """Queries the store through the loopback server of the process that has it open; safe in any thread."""

    def __init__(self, data: Path) -> None:
        self._path = data / FILE

    def owner_lives(self) -> bool:
        """Whether the process that wrote `store.json` still runs."""
        try:
            os.kill(int(json.loads(self._path.read_text())["pid"]), 0)
        except PermissionError:
            return True
        except (OSError, ValueError, KeyError):
            return False
        return True

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """The rows of a query with `{name:Type}` parameters.

        Raises:
            StoreError: no process on this machine has the store open, or the query failed.
        """
        try:
            server = json.loads(self._path.read_text())
            request = urllib.request.Request(
                f"http://127.0.0.1:{server['port']}/query",
                data=orjson.dumps({"sql": sql, "parameters": dict(parameters or {})}),
                headers={"Authorization": f"Bearer {server['token']}"},
            )
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(request, timeout=60) as answer:
                return [tuple(row) for row in orjson.loads(answer.read())]
        except urllib.error.HTTPError as error:
            raise StoreError(error.read().decode(errors="replace")) from error
        except (OSError, ValueError, KeyError) as error:
            raise StoreError("no running worker of role record has the store open") from error
