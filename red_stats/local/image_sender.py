"""Image files sent to a running RED: many at a time, again when it asks for it, each counted once.

Every file gets an Idempotency-Key of its path and bytes, so that a run that was interrupted can be
started again within a day and counts nothing twice.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import aiohttp

SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".gif", ".webp")
AGAIN: Final = (409, 429, 503)
TRIES: Final = 20
LONGEST_PAUSE: Final = 10.0


class Sent(NamedTuple):
    """What became of one file: RED's item, or its problem."""

    path: Path
    item: dict[str, Any] | None
    problem: dict[str, Any] | None


def files_in(named: Sequence[Path]) -> list[Path]:
    """The files named, and the images in the folders named, in order."""
    found: list[Path] = []
    for path in named:
        if path.is_dir():
            found += sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
        else:
            found.append(path)
    return found


async def send(
    paths: Sequence[Path],
    *,
    url: str,
    key: str,
    concurrency: int,
    told: Callable[[Sent], None],
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> list[Sent]:
    """All of them, in their order; `told` hears of each as it ends."""
    turn = asyncio.Semaphore(concurrency)
    timeout = aiohttp.ClientTimeout(total=120, sock_connect=5)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/octet-stream"}
    async with aiohttp.ClientSession(headers=headers, timeout=timeout, trust_env=False) as session:

        async def one(path: Path) -> Sent:
            async with turn:
                sent = await _send(session, url, path, pause)
            told(sent)
            return sent

        return list(await asyncio.gather(*map(one, paths)))


async def _send(
    session: aiohttp.ClientSession, url: str, path: Path, pause: Callable[[float], Awaitable[None]]
) -> Sent:
    try:
        content = await asyncio.to_thread(path.read_bytes)
    except OSError as error:
        return Sent(path, None, _problem("file_unreadable", error.strerror or str(error)))
    headers = {"Idempotency-Key": _key(path, content)}
    last: dict[str, Any] = {}
    for number in range(TRIES):
        try:
            async with session.post(f"{url}/red", data=content, headers=headers) as answer:
                body = await answer.json(content_type=None)
                if answer.status == 200:
                    return Sent(path, body, None)
                last, asked = body, float(answer.headers.get("Retry-After", "0"))
                if answer.status not in AGAIN:
                    return Sent(path, None, body)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            last, asked = _problem("unreachable", f"{url} does not answer ({error!r})"), 0.0
        await pause(min(max(asked, 0.1 * 2**number), LONGEST_PAUSE))
    return Sent(path, None, last)


def _key(path: Path, content: bytes) -> str:
    named = hashlib.sha256(str(path.resolve()).encode() + b"\0")
    named.update(content)
    return f"send-{named.hexdigest()}"


def _problem(code: str, detail: str) -> dict[str, Any]:
    return {"code": code, "detail": detail}
