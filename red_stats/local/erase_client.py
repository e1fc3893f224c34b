"""Asks RED_STATS what there is of a client, and to erase it."""

from typing import Any, Final, TypedDict

import aiohttp

from red_common.web.trust import Trust
from red_stats.domain.erase_report import Report
from red_stats.local.answers import OddAnswer, content

SECONDS: Final = 60.0
EVER: Final = {"from": "1970-01-01T00:00:00Z", "to": "9999-12-31T23:59:59.999Z"}


class NotErased(Exception):
    """Raised when a client was not erased, or not wholly; the text says why."""


class _Counted(TypedDict):
    images: int


class _Listed(TypedDict):
    items: list[Any]


class EraseClient:
    """RED_STATS at an address, with a key of the scope admin."""

    def __init__(self, url: str, key: str, trusted: Trust) -> None:
        self._url, self._key, self._trusted = url, key, trusted

    async def found(self, client_id: str) -> dict[str, int]:
        """How many images and subscriptions the client has.

        Raises:
            NotErased: RED_STATS does not answer, or refuses.
        """
        counted = await self._call("GET", "/v1/statistics", EVER | {"client": client_id}, _Counted)
        subscriptions = await self._call("GET", "/v1/subscriptions", {"client": client_id}, _Listed)
        return {"images": counted["images"], "subscriptions": len(subscriptions["items"])}

    async def erase(self, client_id: str) -> dict[str, Any]:
        """Erase the client; returns the report.

        Raises:
            NotErased: RED_STATS does not answer, or refuses.
        """
        return await self._call("DELETE", f"/v1/clients/{client_id}/data", {}, Report)

    async def _call(self, method: str, path: str, parameters: dict[str, str], kind: Any) -> dict[str, Any]:
        timeout = aiohttp.ClientTimeout(total=SECONDS, sock_connect=5)
        headers = {"Authorization": f"Bearer {self._key}"}
        async with aiohttp.ClientSession(headers=headers, timeout=timeout, trust_env=False) as session:
            try:
                async with session.request(
                    method, f"{self._url}{path}", params=parameters, ssl=self._trusted
                ) as answer:
                    body = await answer.read()
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
                text = f"RED_STATS at {self._url} does not answer ({error!r}): is it running?"
                raise NotErased(text) from error
        try:
            found: dict[str, Any] = content(answer.status, body, kind)
        except OddAnswer as error:
            raise NotErased(str(error)) from error
        return found
