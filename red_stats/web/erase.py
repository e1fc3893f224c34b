"""`DELETE /v1/clients/{id}/data`: erases a client."""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import web

from red_common.events import CLIENT_ID, rfc3339
from red_common.kafka.connection import KafkaError
from red_common.problems import Problem
from red_common.web.auth import ACT, CALLER, act_of
from red_common.web.responses import json_response
from red_stats import topics
from red_stats.domain import erase_report
from red_stats.domain.command_results import ErasedUpTo
from red_stats.domain.measurements import from_ms
from red_stats.kafka.api_keys import erase_keys
from red_stats.kafka.command_client import SECONDS
from red_stats.resources import Resources
from red_stats.store import queries

Ask = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


class Erase:
    """The view that erases a client, for operators: it needs a key with the scope admin."""

    def __init__(self, resources: Resources, ask: Ask, now: Callable[[], float] = time.time) -> None:
        self._resources = resources
        self._ask = ask
        self._now = now

    def routes(self) -> list[web.RouteDef]:
        """The route of this view."""
        return [web.delete("/v1/clients/{id}/data", self.delete)]

    async def delete(self, request: web.Request) -> web.Response:
        """End the client's keys, erase it, and report; a second time erases what came since.

        The keys are ended first, so that nothing more comes, and once more at the end: RED deletes what it
        has stored until then, and so all that was measured before the erasure.
        """
        if not request[CALLER].may("admin"):
            raise Problem("admin_only", "Erasing a client needs a key with the scope admin.")
        if request.query:
            raise Problem("unknown_parameter", "There are no parameters here; the client is in the address.")
        client_id = request.match_info["id"]
        removed = await self._found(client_id) if CLIENT_ID.fullmatch(client_id) else None
        if removed is None:
            raise Problem("not_found", "There is no such client.")
        request[ACT] = act_of(request, "client_erased", target=client_id, client_id=client_id)
        keys = await self._end_keys(client_id)
        erased = await self._erase(client_id)
        await self._end_keys(client_id)
        settings = self._resources.settings
        kept = topics.wanted(settings.partitions, settings.measurements_retention_days)
        report = {
            "client_id": client_id,
            "erased_before": erased.before,
            "at": erased.at,
            "removed": removed | {"keys": keys},
            "stays": erase_report.stays(kept, erased.erased.at),
        }
        return json_response(erase_report.signed(report, self._resources.secret_keys))

    async def _found(self, client_id: str) -> dict[str, int] | None:
        """What there is of a client, as far as it is recorded; None: nobody has ever heard of it."""
        resources = self._resources
        client, erased = resources.subscriptions.get(client_id), resources.erased_of(client_id)
        found = {
            table: int((await resources.ask(queries.not_erased(table, client_id, erased)))[0][0])
            for table in queries.TOLD_OF_CLIENTS
        }
        keyring = resources.keyring
        has_key = any(record.client_id == client_id for record in keyring.records.values())
        if client is None and not has_key and client_id not in keyring.erased and not any(found.values()):
            return None
        return found | {"subscriptions": len(client.subscriptions) if client else 0}

    async def _end_keys(self, client_id: str) -> int:
        resources, now = self._resources, rfc3339(from_ms(int(self._now() * 1000)))
        try:
            return await erase_keys(resources.settings.connection, client_id, now, resources.secret_keys)
        except (KafkaError, OSError) as error:
            detail = "Kafka cannot be reached; the client is not erased, or not wholly. Try again."
            raise Problem("not_stored", detail) from error

    async def _erase(self, client_id: str) -> ErasedUpTo:
        """What the accepted command has erased, once the views of this process leave it out."""
        command = {"command": "erase", "command_id": str(uuid.uuid4()), "client_id": client_id}
        accepted = await self._ask(command)
        told = msgspec.convert(accepted["erased"], ErasedUpTo)
        cache, erased = self._resources.subscriptions, told.erased

        def shows() -> bool:
            known = cache.erased_of(client_id)
            return (known.before, known.at) >= (erased.before, erased.at)

        try:
            async with asyncio.timeout(SECONDS):
                await cache.follower.until(shows)
        except TimeoutError as error:
            detail = "The client is erased, but views may still show it for a moment; erase it again."
            raise Problem("command_pending", detail, command_id=accepted["command_id"]) from error
        return told
