"""`/v1/subscriptions`: commands sent and awaited; reads from the follower of red.subscriptions."""

import asyncio
import contextlib
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from red_common.kafka.connection import KafkaError
from red_common.problems import Problem
from red_common.web.auth import client_of
from red_common.web.responses import json_response
from red_stats.domain.delivery_kinds import TestTask
from red_stats.domain.subscriptions import Subscription
from red_stats.kafka.command_client import SECONDS
from red_stats.kafka.record_sender import NotSent
from red_stats.resources import Resources
from red_stats.web.parameters import known

Ask = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
SendTask = Callable[[str, bytes], Awaitable[None]]
Unset = msgspec.UnsetType
Body = TypeVar("Body")


class NewSubscription(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Body of `POST /v1/subscriptions`."""

    webhook_url: str
    threshold: float
    description: str | Unset | None = msgspec.UNSET
    enabled: bool | Unset = msgspec.UNSET


class Changes(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Body of `PATCH /v1/subscriptions/{id}`: what is named changes."""

    webhook_url: str | Unset = msgspec.UNSET
    threshold: float | Unset = msgspec.UNSET
    description: str | Unset | None = msgspec.UNSET
    enabled: bool | Unset = msgspec.UNSET


class Subscriptions:
    """Every answer comes after the change is in force and can be read."""

    def __init__(self, resources: Resources, ask: Ask, send_task: SendTask) -> None:
        self._resources = resources
        self._ask = ask
        self._send_task = send_task

    def routes(self) -> list[web.RouteDef]:
        """Where they are."""
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
        """A new subscription; its secret is shown in this answer only."""
        client_id = self._client(request)
        body = await _body(request, NewSubscription)
        subscription_id = str(uuid.uuid4())
        secret, sealed = self._resources.box.fresh(client_id, subscription_id)
        changed = await self._command(
            client_id, "subscribe", subscription_id, secret=sealed, **msgspec.to_builtins(body)
        )
        where = {"Location": f"/v1/subscriptions/{subscription_id}"}
        return json_response(changed | {"secret": secret}, 201, where)

    async def list(self, request: web.Request) -> web.Response:
        """All of the client's, oldest first."""
        client_id = self._client(request)
        await self._current()
        client = self._resources.subscriptions.get(client_id)
        items = [msgspec.to_builtins(s.public()) for s in client.subscriptions] if client else []
        return json_response({"items": items, "next": None})

    async def get(self, request: web.Request) -> web.Response:
        """One."""
        found = await self._found(request, self._client(request))
        return json_response(msgspec.to_builtins(found.public()))

    async def update(self, request: web.Request) -> web.Response:
        """A new version with what the body names changed."""
        client_id = self._client(request)
        found = await self._found(request, client_id)
        body = await _body(request, Changes)
        return json_response(await self._command(client_id, "update", found.id, **msgspec.to_builtins(body)))

    async def delete(self, request: web.Request) -> web.Response:
        """Gone; what waits for it is cancelled, visibly."""
        client_id = self._client(request)
        await self._command(client_id, "unsubscribe", (await self._found(request, client_id)).id)
        return web.Response(status=204)

    async def rotate_secret(self, request: web.Request) -> web.Response:
        """A new secret, shown once; for 24 h every request is signed with the old one too."""
        client_id = self._client(request)
        found = await self._found(request, client_id)
        secret, sealed = self._resources.box.fresh(client_id, found.id)
        changed = await self._command(client_id, "rotate_secret", found.id, secret=sealed)
        return json_response(changed | {"secret": secret})

    async def test(self, request: web.Request) -> web.Response:
        """Sends a `red.test` event once; how it went is told under `/v1/deliveries/{delivery_id}`."""
        client_id = self._client(request)
        found = await self._found(request, client_id)
        if not found.enabled:
            raise Problem("subscription_disabled", "Enable the subscription before you test it.")
        task = TestTask(
            task_id=str(uuid.uuid4()),
            client_id=client_id,
            subscription_id=found.id,
            version=found.version,
            threshold=found.threshold,
        )
        try:
            await self._send_task(client_id, msgspec.json.encode(task))
        except NotSent as error:
            raise Problem("not_stored", "Kafka cannot be reached; try again.") from error
        delivery_id, webhook_id = task.delivery_ids
        where = {"Location": f"/v1/deliveries/{delivery_id}"}
        return json_response({"delivery_id": delivery_id, "webhook_id": webhook_id}, 202, where)

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
        """Changes answered by another worker are read first; without Kafka, what is known is told."""
        with contextlib.suppress(TimeoutError, KafkaError):
            async with asyncio.timeout(1):
                await self._resources.subscriptions.follower.caught_up()

    async def _command(
        self, client_id: str, name: str, subscription_id: str, **fields: Any
    ) -> dict[str, Any]:
        accepted = await self._ask(
            {
                "command": name,
                "command_id": str(uuid.uuid4()),
                "client_id": client_id,
                "subscription_id": subscription_id,
                **fields,
            }
        )
        subscription: dict[str, Any] = accepted["subscription"]
        cache, version = self._resources.subscriptions, subscription["version"]

        def shows() -> bool:
            found = cache.find(client_id, subscription_id)
            return bool(accepted["ended"]) if found is None else found.version >= version

        try:
            async with asyncio.timeout(SECONDS):
                await cache.follower.until(shows)  # who reads next finds it
        except TimeoutError as error:
            detail = "The change is made and will be seen in a moment."
            command_id = accepted["command_id"]
            raise Problem("command_pending", detail, command_id=command_id) from error
        return subscription


async def _body(request: web.Request, kind: type[Body]) -> Body:
    raw = await request.read()
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Problem("invalid_body", f"The body is not as expected: {error}.") from error
