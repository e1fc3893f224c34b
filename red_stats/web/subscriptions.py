"""`/v1/subscriptions`: changes are commands whose result is awaited; reads come from a follower."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import msgspec
from aiohttp import web

from red_common.kafka.connection import KafkaError
from red_common.problems import Problem
from red_common.rate_limits import RateLimits
from red_common.web.auth import client_of
from red_common.web.responses import json_response
from red_stats.domain import request_headers
from red_stats.domain.commands import id_of_new
from red_stats.domain.delivery_kinds import TestTask
from red_stats.domain.endpoint_health import Recorded, health
from red_stats.domain.request_headers import HIDDEN, SealedHeaders
from red_stats.domain.subscriptions import Subscription
from red_stats.domain.thresholds import NotAsExpected
from red_stats.kafka.command_client import SECONDS
from red_stats.kafka.record_sender import NotSent, SendAll
from red_stats.resources import Resources
from red_stats.store.clickhouse import StoreError
from red_stats.store.endpoint_health import recorded
from red_stats.web.bodies import read_body
from red_stats.web.parameters import known
from red_stats.web.request_limits import take
from red_stats.web.subscription_bodies import Changes, NewSubscription, Rotation, asked_of, fields_of

Ask = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


class Subscriptions:
    """The views of subscriptions; a change is answered once it is in force and can be read."""

    def __init__(
        self,
        resources: Resources,
        ask: Ask,
        send_tasks: SendAll,
        tests: RateLimits,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._now = now
        self._resources = resources
        self._ask = ask
        self._send_tasks = send_tasks
        self._tests = tests

    def routes(self) -> list[web.RouteDef]:
        """The routes of these views."""
        one = "/v1/subscriptions/{id}"
        return [
            web.post("/v1/subscriptions", self.create),
            web.get("/v1/subscriptions", self.list),
            web.get(one, self.get),
            web.patch(one, self.update),
            web.delete(one, self.delete),
            web.post(f"{one}/rotate-secret", self.rotate_secret),
            web.post(f"{one}/test", self.test),
        ]

    async def create(self, request: web.Request) -> web.Response:
        """Create a subscription; its secret is shown only in this answer."""
        client_id = self._client(request)
        fields = await read_body(request, NewSubscription, fields_of)
        asked = asked_of(request, "subscribe", fields)
        subscription_id = id_of_new(client_id, asked["command_id"])
        sealed = self._resources.box.fresh(client_id, subscription_id)
        fields = self._with_headers(client_id, subscription_id, fields, None)
        accepted = await self._command(
            client_id, "subscribe", subscription_id, secret=sealed, **asked, **fields
        )
        where = {"Location": f"/v1/subscriptions/{subscription_id}"}
        return json_response(self._with_secret(client_id, accepted), 201, where)

    async def list(self, request: web.Request) -> web.Response:
        """All subscriptions of the client, oldest first."""
        client_id = self._client(request)
        await self._current()
        client = self._resources.subscriptions.get(client_id)
        items = [msgspec.to_builtins(s.public()) for s in client.subscriptions] if client else []
        return json_response({"items": items, "next": None})

    async def get(self, request: web.Request) -> web.Response:
        """One subscription of the client, and how its endpoint does."""
        client_id = self._client(request)
        found = await self._found(request, client_id)
        health = await self._health(client_id, found)
        return json_response(msgspec.to_builtins(found.public()) | {"health": health})

    async def update(self, request: web.Request) -> web.Response:
        """Change the fields that the body names, which makes a new version."""
        client_id = self._client(request)
        found = await self._found(request, client_id)
        fields = await read_body(request, Changes, fields_of)
        if HIDDEN in (fields.get("headers") or {}).values():
            fields["if_version"] = found.version  # whose value stays is that of the version that was read
        fields = self._with_headers(client_id, found.id, fields, found.headers)
        accepted = await self._command(client_id, "update", found.id, **fields)
        return json_response(accepted["subscription"])

    async def delete(self, request: web.Request) -> web.Response:
        """Delete a subscription; its pending deliveries end as `cancelled`."""
        client_id = self._client(request)
        await self._command(client_id, "unsubscribe", (await self._found(request, client_id)).id)
        return web.Response(status=204)

    async def rotate_secret(self, request: web.Request) -> web.Response:
        """Replace the secret; the new one is shown only here, and the old one signs as well for a time."""
        client_id = self._client(request)
        found = await self._found(request, client_id)
        fields = await read_body(request, Rotation, fields_of) if request.body_exists else {}
        asked = asked_of(request, f"rotate_secret/{found.id}", fields)
        sealed = self._resources.box.fresh(client_id, found.id)
        accepted = await self._command(client_id, "rotate_secret", found.id, secret=sealed, **asked, **fields)
        return json_response(self._with_secret(client_id, accepted))

    async def test(self, request: web.Request) -> web.Response:
        """Send a `red.test` event once; the result is at `/v1/deliveries/{delivery_id}`.

        Raises:
            Problem: 429 `rate_limited`, this process has sent another one within 10 s.
        """
        client_id = self._client(request)
        found = await self._found(request, client_id)
        if not found.enabled:
            raise Problem("subscription_disabled", "Enable the subscription before you test it.")
        take(self._tests, found.id, "This subscription has just been tested")
        task = TestTask(
            task_id=str(uuid.uuid4()),
            client_id=client_id,
            subscription_id=found.id,
            version=found.version,
            threshold=found.threshold,
        )
        try:
            await self._send_tasks(client_id, [msgspec.json.encode(task)])
        except NotSent as error:
            self._tests.charge(found.id, -1)
            raise Problem("not_stored", "Kafka cannot be reached; try again.") from error
        delivery_id, webhook_id = task.delivery_ids
        where = {"Location": f"/v1/deliveries/{delivery_id}"}
        return json_response({"delivery_id": delivery_id, "webhook_id": webhook_id}, 202, where)

    def _with_secret(self, client_id: str, accepted: Mapping[str, Any]) -> dict[str, Any]:
        """The subscription with the secret that the answer to its command holds: a retry gets the first."""
        subscription: dict[str, Any] = accepted["subscription"]
        sealed = accepted["row"]["secrets"][0]["encrypted"]
        secret = self._resources.box.open(client_id, subscription["id"], sealed)
        return subscription | {"secret": secret}

    async def _health(self, client_id: str, found: Subscription) -> dict[str, Any] | None:
        """How the endpoint does as far as it is recorded; None while the store cannot answer."""
        question = recorded(client_id, found.id, self._resources.erased_of(client_id))
        try:
            [row] = await self._resources.ask_for(client_id, question)
        except (StoreError, Problem):  # it is away, or the client has used up its share of it
            return None
        return health(Recorded(*row), enabled=found.enabled, now=int(self._now() * 1000))

    def _with_headers(
        self, client_id: str, subscription_id: str, fields: dict[str, Any], before: SealedHeaders | None
    ) -> dict[str, Any]:
        """The fields with their headers sealed; values that are HIDDEN stay what they were `before`.

        Raises:
            Problem: 400 `invalid_body`, one of them is HIDDEN and was not there, or they are too large.
        """
        if not fields.get("headers"):
            return fields | {"headers": None} if "headers" in fields else fields
        box, bound = self._resources.box, request_headers.purpose(subscription_id)
        had = request_headers.opened(before, partial(box.open, client_id, bound))
        kept = {name: had.get(name, HIDDEN) for name, value in fields["headers"].items() if value == HIDDEN}
        given = fields["headers"] | kept
        try:
            if HIDDEN in given.values():
                raise NotAsExpected("headers has a value that was never told")
            request_headers.check_values(given)
        except NotAsExpected as error:
            raise Problem("invalid_body", f"{error}.") from error
        sealed = request_headers.sealed(given, partial(box.seal, client_id, bound))
        return fields | {"headers": msgspec.to_builtins(sealed)}

    def _client(self, request: web.Request) -> str:
        client_id = client_of(request, "subscriptions")
        known(request)
        return client_id

    async def _found(self, request: web.Request, client_id: str) -> Subscription:
        await self._current()
        found = self._resources.subscriptions.find(client_id, request.match_info["id"])
        if found is None:
            raise Problem("not_found", "There is no such subscription.")
        return found

    async def _current(self) -> None:
        """Wait up to 1 s for changes that other workers have answered; without Kafka, use what is known."""
        with contextlib.suppress(TimeoutError, KafkaError):
            async with asyncio.timeout(1):
                await self._resources.subscriptions.follower.caught_up()

    async def _command(
        self, client_id: str, name: str, subscription_id: str, command_id: str = "", **fields: Any
    ) -> dict[str, Any]:
        """The accepted result of a command, once the change can be read."""
        accepted = await self._ask(
            {
                "command": name,
                "command_id": command_id or str(uuid.uuid4()),
                "client_id": client_id,
                "subscription_id": subscription_id,
                **fields,
            }
        )
        subscription: dict[str, Any] = accepted["subscription"]
        cache, version = self._resources.subscriptions, subscription["version"]
        offset = int(accepted["command_position"].partition(":")[2])

        def shows() -> bool:
            found, client = cache.find(client_id, subscription_id), cache.get(client_id)
            if found is not None:
                return found.version >= int(version)
            is_past = client is not None and client.offset > offset
            return bool(accepted["ended"]) or is_past

        try:
            async with asyncio.timeout(SECONDS):
                await cache.follower.until(shows)  # so that the next read shows the change
        except TimeoutError as error:
            detail = "The change is made, but cannot be read yet."
            command_id = accepted["command_id"]
            raise Problem("command_pending", detail, command_id=command_id) from error
        return accepted
