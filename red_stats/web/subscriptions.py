"""`/v1/subscriptions`: changes are commands whose result is awaited; reads come from a follower."""

import asyncio
import contextlib
import hashlib
import json
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from red_common.kafka.connection import KafkaError
from red_common.problems import Problem
from red_common.rate_limits import RateLimits
from red_common.web.auth import client_of
from red_common.web.idempotency_key import HEADER, checked_key
from red_common.web.responses import json_response
from red_stats.domain.command_results import KEYED
from red_stats.domain.commands import id_of_new
from red_stats.domain.delivery_kinds import TestTask
from red_stats.domain.subscriptions import Subscription
from red_stats.domain.thresholds import NotANumber, exactly, threshold_of
from red_stats.kafka.command_client import SECONDS
from red_stats.kafka.record_sender import NotSent
from red_stats.resources import Resources
from red_stats.web.parameters import known
from red_stats.web.request_limits import take

MOST_SECONDS = 1 << 53
BODY_SECONDS = 10.0
Ask = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
SendTask = Callable[[str, bytes], Awaitable[None]]
Unset = msgspec.UnsetType
Body = TypeVar("Body", bound=msgspec.Struct)


class NewSubscription(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """The body of `POST /v1/subscriptions`."""

    webhook_url: str
    threshold: Any  # as `exactly` reads it
    description: str | Unset | None = msgspec.UNSET
    enabled: bool | Unset = msgspec.UNSET
    max_age: int | Unset | None = msgspec.UNSET


class Changes(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """The body of `PATCH /v1/subscriptions/{id}`: only the fields given change."""

    webhook_url: str | Unset = msgspec.UNSET
    threshold: Any = msgspec.UNSET
    description: str | Unset | None = msgspec.UNSET
    enabled: bool | Unset = msgspec.UNSET
    max_age: int | Unset | None = msgspec.UNSET


class Rotation(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """The body of `POST /v1/subscriptions/{id}/rotate-secret`, which may be left out."""

    overlap_seconds: int | Unset = msgspec.UNSET


class Subscriptions:
    """The views of subscriptions; a change is answered once it is in force and can be read."""

    def __init__(self, resources: Resources, ask: Ask, send_task: SendTask, tests: RateLimits) -> None:
        self._resources = resources
        self._ask = ask
        self._send_task = send_task
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
        fields = await _fields(request, NewSubscription)
        asked = _asked(request, "subscribe", fields)
        subscription_id = id_of_new(client_id, asked["command_id"])
        sealed = self._resources.box.fresh(client_id, subscription_id)
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
        """One subscription of the client."""
        found = await self._found(request, self._client(request))
        return json_response(msgspec.to_builtins(found.public()))

    async def update(self, request: web.Request) -> web.Response:
        """Change the fields that the body names, which makes a new version."""
        client_id = self._client(request)
        found = await self._found(request, client_id)
        fields = await _fields(request, Changes)
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
        fields = await _fields(request, Rotation) if request.body_exists else {}
        asked = _asked(request, f"rotate_secret/{found.id}", fields)
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
            await self._send_task(client_id, msgspec.json.encode(task))
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


def _asked(request: web.Request, what: str, fields: Mapping[str, Any]) -> dict[str, str]:
    """The command_id of a request, and if it has an Idempotency-Key a fingerprint of its body.

    The command_id then follows from the key, so that role live gives a retry the first answer.
    """
    if HEADER not in request.headers:
        return {"command_id": str(uuid.uuid4())}
    key = checked_key(request.headers.getall(HEADER))
    said = json.dumps(fields, sort_keys=True)
    return {
        "command_id": KEYED + hashlib.sha256(f"{what}/{key}".encode()).hexdigest(),
        "fingerprint": hashlib.sha256(said.encode()).hexdigest(),
    }


async def _fields(request: web.Request, kind: type[Body]) -> dict[str, Any]:
    """The fields that a body names, as they stand in a command.

    Raises:
        Problem: 400 `invalid_body`, 408 `request_timeout`, 422 `threshold_out_of_range`.
    """
    try:
        async with asyncio.timeout(BODY_SECONDS):
            raw = await request.read()
    except TimeoutError:
        detail = "The body came too slowly, or its end never came."
        raise Problem("request_timeout", detail, close=True) from None
    try:
        body = msgspec.json.Decoder(kind, float_hook=exactly).decode(raw)
        given = msgspec.structs.asdict(body)
        fields = {name: value for name, value in given.items() if value is not msgspec.UNSET}
        for name in ("max_age", "overlap_seconds"):
            if abs(fields.get(name) or 0) > MOST_SECONDS:  # more than a command can hold
                raise Problem("value_out_of_range", f"{name} is not a number of seconds that anyone has.")
        if "threshold" in fields:
            fields["threshold"] = threshold_of(fields["threshold"])
        return fields
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, NotANumber) as error:
        raise Problem("invalid_body", f"The body is not valid: {error}.") from error
