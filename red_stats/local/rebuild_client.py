"""Asks the running workers to replay their folds, and hears how far they are."""

import json
from collections.abc import Callable
from typing import Any

import aiohttp

from red_stats.settings import Settings
from red_stats.store.query_server import FILE

Told = Callable[[str, int, int], None]  # what, done, total


class NotRebuilt(Exception):
    """Raised when a fold could not be replayed; the text says why."""


async def rebuild_live(settings: Settings, url: str, key: str, told: Told) -> dict[str, Any]:
    """Every partition, one after the other, each by the worker that holds it.

    Raises:
        NotRebuilt: a worker is away or refused; partitions before it are rebuilt.
    """
    found = []
    async with _session(key) as session:
        for number in range(settings.partitions):
            target = f"{url}/v1/rebuild?partition={number}"
            for _ in range(3):  # to the worker that holds it, and once more if it has just moved
                result, target = await _asked(session, target, lambda *far, n=number: told(f"live/{n}", *far))
                if result is not None:
                    break
            else:
                raise NotRebuilt(f"partition {number} moves from worker to worker; try again")
            found.append(result)
    return {"partitions": found}


async def rebuild_record(settings: Settings, told: Told) -> dict[str, Any]:
    """The store's tables, by the process that has the store.

    Raises:
        NotRebuilt: no worker of role record runs here, or it refused.
    """
    try:
        known = json.loads((settings.data / FILE).read_text())
    except (OSError, ValueError) as error:
        raise NotRebuilt(f"no worker of role record runs on {settings.data}: start `red-stats up`") from error
    async with _session(known["token"]) as session:
        url = f"http://127.0.0.1:{known['port']}/rebuild"
        result, _ = await _asked(session, url, lambda *far: told("record", *far))
    assert result is not None
    return result


def _session(token: str) -> aiohttp.ClientSession:
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=60)
    return aiohttp.ClientSession(
        headers={"Authorization": f"Bearer {token}"}, timeout=timeout, trust_env=False
    )


async def _asked(
    session: aiohttp.ClientSession, url: str, told: Callable[[int, int], None]
) -> tuple[dict[str, Any] | None, str]:
    """The result, or None and where to ask instead."""
    try:
        async with session.post(url, allow_redirects=False) as answer:
            if answer.status == 307:
                return None, answer.headers["Location"]
            if answer.status != 200:
                raise NotRebuilt(await _reason(answer))
            async for line in answer.content:
                news = json.loads(line)
                if "result" in news:
                    return news["result"], url
                if "error" in news:
                    raise NotRebuilt(news["error"])
                told(news["done"], news["total"])
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        raise NotRebuilt(f"the worker at {url} does not answer ({error!r}): is it running?") from error
    raise NotRebuilt(f"the worker at {url} ended before it was done")


async def _reason(answer: aiohttp.ClientResponse) -> str:
    text = await answer.text()
    try:
        return str(json.loads(text)["detail"])
    except (ValueError, KeyError, TypeError):
        return text or f"status {answer.status}"
