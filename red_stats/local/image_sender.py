"""Sends image files to a running RED: several at a time, with retries, each counted once.

The Idempotency-Key of a file is made from its path and bytes, so a run that was interrupted can be started
again within a day without counting anything twice.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import aiohttp

from red_common.web.trust import Trust

KEY_REFUSED: Final = (401, 403)
OF_THE_FILE: Final = "image_quota_exceeded"  # a 403 that says nothing about the key: another file may fit
RETRIED: Final = (409, 429, 503)
ATTEMPTS: Final = 20
MAX_PAUSE: Final = 10.0  # seconds between attempts


class KeyRefused(Exception):
    """Raised when RED refuses the API key: no file will be taken. The text is RED's reason."""


class Sent(NamedTuple):
    """The result for one file: RED's item, or the problem (the other one is None)."""

    path: Path
    item: dict[str, Any] | None
    problem: dict[str, Any] | None


async def send(
    paths: Sequence[Path],
    *,
    url: str,
    key: str,
    trusted: Trust = True,
    concurrency: int,
    on_sent: Callable[[Sent], None],
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> list[Sent]:
    """Send all files, `concurrency` at a time; returns the results in the order of `paths`.

    `on_sent` is called with each result as it comes.

    Raises:
        KeyRefused: RED refuses the key; no more files are sent.
    """
    slots = asyncio.Semaphore(concurrency)
    timeout = aiohttp.ClientTimeout(total=120, sock_connect=5)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/octet-stream"}
    async with aiohttp.ClientSession(headers=headers, timeout=timeout, trust_env=False) as session:

        async def one(path: Path) -> Sent:
            async with slots:
                sent = await _send(session, url, path, trusted, pause)
            on_sent(sent)
            return sent

        sending = [asyncio.create_task(one(path)) for path in paths]
        try:
            return list(await asyncio.gather(*sending))
        finally:
            for task in sending:
                task.cancel()
            await asyncio.gather(*sending, return_exceptions=True)


async def _send(
    session: aiohttp.ClientSession,
    url: str,
    path: Path,
    trusted: Trust,
    pause: Callable[[float], Awaitable[None]],
) -> Sent:
    try:
        content = await asyncio.to_thread(path.read_bytes)
    except OSError as error:
        return Sent(path, None, _problem("file_unreadable", error.strerror or str(error)))
    headers = {"Idempotency-Key": _key(path, content)}
    last: dict[str, Any] = {}
    for number in range(ATTEMPTS):
        try:
            async with session.post(f"{url}/red", data=content, headers=headers, ssl=trusted) as answer:
                body = await answer.json(content_type=None)
                if answer.status == 200:
                    return Sent(path, body, None)
                if answer.status in KEY_REFUSED and body["code"] != OF_THE_FILE:
                    raise KeyRefused(f"{body['code']}: {body['detail']}")
                last, hint = body, _seconds(answer.headers.get("Retry-After", ""))
                if answer.status not in RETRIED:
                    return Sent(path, None, body)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            last, hint = _problem("unreachable", f"{url} does not answer ({error!r})"), 0.0
        await pause(min(max(hint, 0.1 * 2**number), MAX_PAUSE))
    return Sent(path, None, last)


def _seconds(text: str) -> float:
    """The whole seconds of a Retry-After; 0 for anything else."""
    return float(text) if text.isascii() and text.isdigit() else 0.0


def _key(path: Path, content: bytes) -> str:
    digest = hashlib.sha256(str(path.resolve()).encode() + b"\0")
    digest.update(content)
    return f"send-{digest.hexdigest()}"


def _problem(code: str, detail: str) -> dict[str, Any]:
    return {"code": code, "detail": detail}
