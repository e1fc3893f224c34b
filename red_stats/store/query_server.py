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
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final

import orjson
from aiohttp import web

from red_common import private_files
from red_stats.store.clickhouse import Store, StoreError
from red_stats.store.sql.errors import SqlFailed
from red_stats.store.sql.questions import SqlQuestion

FILE: Final = "store.json"
SECONDS: Final = 60.0  # that a question of ours may take
WAIT_SECONDS: Final = 50.0  # for the answer to SQL of a client, besides the seconds that it may run

Rebuild = Callable[[web.Request], Awaitable[web.StreamResponse]]


class StoreServer:
    """Serves `POST /query`, `POST /sql` and `POST /rebuild` on a free loopback port.

    SQL of clients has threads of its own, so that it keeps no other question waiting.
    """

    def __init__(
        self, store: Store, data: Path, readers: Executor, sql_readers: Executor, rebuild: Rebuild
    ) -> None:
        self._store, self._readers, self._rebuild = store, readers, rebuild
        self._sql_readers = sql_readers
        self._path = data / FILE
        self._token = secrets.token_urlsafe(32)
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Start to listen, and write port and token to `store.json`."""
        application = web.Application(client_max_size=1 << 20)
        application.router.add_post("/query", self._query)
        application.router.add_post("/sql", self._sql)
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
        ask = self._store.packed if question.get("packed") else self._store.query
        try:
            found = await loop.run_in_executor(executor, ask, question["sql"], question["parameters"])
        except StoreError as error:
            return web.Response(status=500, text=str(error)[:500])
        if isinstance(found, bytes):
            return web.Response(body=found, content_type="application/octet-stream")
        return web.Response(body=orjson.dumps(found, default=str), content_type="application/json")

    async def _sql(self, request: web.Request) -> web.Response:
        if not self._is_ours(request):
            return web.Response(status=401)
        question = SqlQuestion(**orjson.loads(await request.read()))
        loop = asyncio.get_running_loop()
        try:
            body = await loop.run_in_executor(self._sql_readers, self._store.answer, question)
        except SqlFailed as error:
            said = {"code": error.code, "message": error.message}
            return web.json_response(said, status=422)
        except StoreError as error:
            return web.Response(status=500, text=str(error)[:500])
        return web.Response(body=body)


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
        question = {"sql": sql, "parameters": dict(parameters or {})}
        try:
            return [tuple(row) for row in orjson.loads(self._asked("/query", question, SECONDS))]
        except ValueError as error:
            raise _away() from error

    def packed(self, sql: str, parameters: Mapping[str, Any] | None = None) -> bytes:
        """The rows of a query as the engine's RowBinary.

        Raises:
            StoreError: no process on this machine has the store open, or the query failed.
        """
        question = {"sql": sql, "parameters": dict(parameters or {}), "packed": True}
        return self._asked("/query", question, SECONDS)

    def answer(self, question: SqlQuestion) -> bytes:
        """The answer to SQL of a client.

        Raises:
            SqlFailed: the engine refused it, or it reached a limit.
            StoreError: no process on this machine has the store open.
        """
        seconds = float(question.settings["max_execution_time"]) + WAIT_SECONDS
        return self._asked("/sql", question._asdict(), seconds)

    def _asked(self, path: str, question: Mapping[str, Any], seconds: float) -> bytes:
        try:
            server = json.loads(self._path.read_text())
            request = urllib.request.Request(
                f"http://127.0.0.1:{server['port']}{path}",
                data=orjson.dumps(question),
                headers={"Authorization": f"Bearer {server['token']}"},
            )
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(request, timeout=seconds) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            said = error.read()
            if error.code == 422:
                raise SqlFailed(**orjson.loads(said)) from error
            raise StoreError(said.decode(errors="replace")) from error
        except (OSError, HTTPException, ValueError, KeyError) as error:
            raise _away() from error


def _away() -> StoreError:
    return StoreError("no running worker of role record has the store open")
