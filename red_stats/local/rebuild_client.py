"""Asks the running workers to replay their folds, and reports their progress."""

import json
from collections.abc import Callable
from typing import Any

import aiohttp

from red_common.web.trust import Trust, trust
from red_stats.local.answers import reason
from red_stats.settings import Settings
from red_stats.store.query_server import FILE

OnProgress = Callable[[str, int, int], None]  # what is replayed, done, total


class NotRebuilt(Exception):
    """Raised when a fold could not be replayed; the text says why."""


async def rebuild_live(
    settings: Settings, url: str, key: str, trusted: Trust, on_progress: OnProgress
) -> dict[str, Any]:
    """Rebuild live, one partition after the other, each in the worker that holds it.

    The first to be asked is the one at `url`, which `trusted` says how to know.

    Raises:
        NotRebuilt: a worker does not answer or refuses; the partitions before are rebuilt.
    """
    found = []
    async with _session(key) as session:
        for number in range(settings.partitions):
            target, known_by = f"{url}/v1/rebuild?partition={number}", trusted
            for _ in range(3):  # redirected to the worker that holds it, and again if it has just moved
                result, target = await _replayed(
                    session, target, known_by, lambda *far, n=number: on_progress(f"live/{n}", *far)
                )
                if result is not None:
                    break
                known_by = trust(settings.tls_cert, settings.tls_ca)
            else:
                raise NotRebuilt(f"partition {number} is moving between workers: try again")
            found.append(result)
    return {"partitions": found}


async def rebuild_record(settings: Settings, on_progress: OnProgress) -> dict[str, Any]:
    """Rebuild the tables of the store, in the process that has it open.

    Raises:
        NotRebuilt: no worker of role record runs on this machine, or it refuses.
    """
    try:
        server = json.loads((settings.data / FILE).read_text())
    except (OSError, ValueError) as error:
        raise NotRebuilt(f"no worker of role record runs on {settings.data}: start `red-stats up`") from error
    async with _session(server["token"]) as session:
        url = f"http://127.0.0.1:{server['port']}/rebuild"
        result, _ = await _replayed(session, url, True, lambda *far: on_progress("record", *far))
    assert result is not None
    return result


def _session(token: str) -> aiohttp.ClientSession:
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=60)
    return aiohttp.ClientSession(
        headers={"Authorization": f"Bearer {token}"}, timeout=timeout, trust_env=False
    )


async def _replayed(
    session: aiohttp.ClientSession, url: str, trusted: Trust, on_progress: Callable[[int, int], None]
) -> tuple[dict[str, Any] | None, str]:
    """The result and the URL, or None and the URL to ask instead."""
    try:
        async with session.post(url, allow_redirects=False, ssl=trusted) as answer:
            if answer.status == 307:
                return None, answer.headers["Location"]
            if answer.status != 200:
                raise NotRebuilt(reason(answer.status, await answer.read()))
            async for line in answer.content:
                report = json.loads(line)
                if "result" in report:
                    return report["result"], url
                if "error" in report:
                    raise NotRebuilt(report["error"])
                on_progress(report["done"], report["total"])
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        raise NotRebuilt(f"the worker at {url} does not answer ({error!r}): is it running?") from error
    raise NotRebuilt(f"the worker at {url} ended before it was done")
