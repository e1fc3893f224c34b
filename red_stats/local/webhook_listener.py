"""A webhook receiver for trying things out: it prints what arrives."""

import asyncio
import hmac
import json
from collections.abc import Callable

from aiohttp import web

from red_stats.domain.signatures import InvalidSecret, sign


async def listen(port: int, secret: str | None, out: Callable[[str], None]) -> None:
    """Listen on loopback until cancelled; `out` gets a line for each webhook.

    With a `secret`, the line begins with whether the signature is valid.

    Raises:
        OSError: the port cannot be used.
    """

    async def receive(request: web.Request) -> web.Response:
        body = await request.read()
        out(f"{_verdict(request, body, secret)}{request.headers.get('webhook-id', '-')} {body.decode()}")
        challenge = _challenge_of(body)
        return web.Response(text=challenge) if challenge else web.Response(status=204)

    application = web.Application(client_max_size=1 << 20)
    application.router.add_post("/{path:.*}", receive)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        out(f"listening on http://127.0.0.1:{port}/")
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


def _challenge_of(body: bytes) -> str | None:
    """What a `red.verify` event wants to have back."""
    try:
        event = json.loads(body)
        return str(event["data"]["challenge"]) if event["type"] == "red.verify" else None
    except (ValueError, TypeError, KeyError):
        return None


def _verdict(request: web.Request, body: bytes, secret: str | None) -> str:
    if secret is None:
        return ""
    given = request.headers.get("webhook-signature", "").split()
    written = request.headers.get("webhook-timestamp", "")
    if not (written.isascii() and written.isdigit() and len(written) < 20):
        return "BAD SIGNATURE "
    try:
        right = sign(secret, request.headers.get("webhook-id", ""), int(written), body)
    except InvalidSecret:
        return "BAD SIGNATURE "
    return "signed " if any(hmac.compare_digest(right, one) for one in given) else "BAD SIGNATURE "
