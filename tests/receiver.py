"""A webhook receiver on a free port that checks every signature with the official library."""

import asyncio
import json
import time
from typing import Any, NamedTuple

from aiohttp import web
from standardwebhooks.webhooks import Webhook


class Got(NamedTuple):
    at: float
    id: str
    timestamp: str
    signatures: str
    raw: bytes
    body: dict[str, Any]
    verified: bool


class Receiver:
    """`secret` verifies; `answer` is what to say: a status, or a coroutine function of the request."""

    def __init__(self, answer=200, port=0, host="127.0.0.1"):
        self.secrets = []
        self.answer = answer
        self.got = []
        self._host, self._port = host, port
        self._news = asyncio.Condition()

    async def __aenter__(self):
        application = web.Application()
        application.router.add_post("/{path:.*}", self._receive)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *error):
        await self._runner.cleanup()

    @property
    def url(self):
        return f"http://127.0.0.1:{self._port}/hook"

    @property
    def port(self):
        return self._port

    def alerts(self, subscription_id=None):
        """Alerts that were answered with success, by webhook-id: a repeated one counts once."""
        found = {got.id: got.body["data"] for got in self.got if got.body["type"] == "red.alert"}
        return [a for a in found.values() if subscription_id in (None, a["subscription_id"])]

    async def until(self, wanted, seconds=30):
        """Wait for a number of requests, or for a predicate of this receiver."""
        if isinstance(wanted, int):
            count = wanted
            wanted = lambda receiver: len(receiver.got) >= count  # noqa: E731
        async with asyncio.timeout(seconds), self._news:
            await self._news.wait_for(lambda: wanted(self))

    async def _receive(self, request):
        raw = await request.read()
        verified = any(_holds(secret, raw, request.headers) for secret in self.secrets)
        headers = request.headers
        got = Got(
            time.time(), headers["webhook-id"], headers["webhook-timestamp"],
            headers["webhook-signature"], raw, json.loads(raw), verified,
        )  # fmt: skip
        status = self.answer if isinstance(self.answer, int) else await self.answer(request)
        self.got.append(got)
        async with self._news:
            self._news.notify_all()
        return status if isinstance(status, web.Response) else web.Response(status=status)


def _holds(secret, raw, headers):
    try:
        Webhook(secret).verify(raw, dict(headers))
    except Exception:
        return False
    return True
