"""`redeliver` and `recover`: deliveries that have ended go out again, with the same ids and bytes."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final, NamedTuple
from weakref import WeakValueDictionary

import msgspec
from aiohttp import web

from red_common.problems import Problem
from red_common.web.auth import client_of
from red_common.web.responses import json_response
from red_stats.domain.backlogs import room
from red_stats.domain.deliveries import Row
from red_stats.domain.delivery_kinds import RedeliveryTask
from red_stats.domain.digests import LISTED
from red_stats.domain.redelivery import NEVER_MADE, alert_again, alert_of
from red_stats.kafka.record_sender import NotSent, SendAll
from red_stats.resources import Resources
from red_stats.store import recovery
from red_stats.store.recovery import Delivery, Point
from red_stats.web.at_least import ReadYourWrites
from red_stats.web.bodies import moment_in, read_body
from red_stats.web.made_again import SLICE, MadeAgain
from red_stats.web.parameters import LARGEST, known

MOST: Final = 10_000  # deliveries of one call
MOST_LISTED: Final = 20_000  # alerts in their bodies: about 10 MB
SEEN_SECONDS: Final = 5.0
POLL_SECONDS: Final = 0.05
_encode = msgspec.json.Encoder().encode


class Recovery(msgspec.Struct, forbid_unknown_fields=True, rename={"every": "all"}):
    """The body of `recover`: one of `after_seq` and `since`."""

    after_seq: int | None = None
    since: str | None = None
    every: bool = False
    dry_run: bool = False


class Wanted(NamedTuple):
    """What a body of `recover` asks for: `every` includes what was delivered, `dry_run` only counts."""

    point: Point
    every: bool
    dry_run: bool


class Redeliveries:
    """The views that send again; what they send is read from ClickHouse once all of it is recorded.

    Calls of a client come one after the other, and each returns when what it sent is recorded as pending, so
    that the next one leaves it alone.
    """

    def __init__(
        self,
        resources: Resources,
        read_your_writes: ReadYourWrites,
        send_tasks: SendAll,
    ) -> None:
        self._resources = resources
        self._made_again = MadeAgain(resources)
        self._read_your_writes = read_your_writes
        self._send_tasks = send_tasks
        self._calls: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()  # by client

    def routes(self) -> list[web.RouteDef]:
        """The routes of these views."""
        return [
            web.post("/v1/deliveries/{id}/redeliver", self.redeliver),
            web.post("/v1/subscriptions/{id}/recover", self.recover),
        ]

    async def redeliver(self, request: web.Request) -> web.Response:
        """Send one delivery again, to the URL of now, with a whole new schedule."""
        client_id = client_of(request, "subscriptions")
        known(request)
        async with self._turn(client_id):
            await self._read_your_writes.everything_told(client_id, request)
            found = await self._found(client_id, request.match_info["id"])
            self._must_be_enabled(client_id, found.subscription_id)
            rows = await self._made_again.rows(client_id, found.subscription_id, [found])
            if not rows:
                raise Problem("not_found", "The alerts of the delivery are not recorded any more.")
            await self._must_have_room(client_id, found.subscription_id, 1)
            await self._send(client_id, rows)
        where = {"Location": f"/v1/deliveries/{found.id}"}
        return json_response({"delivery_id": found.id}, 202, where)

    async def recover(self, request: web.Request) -> web.Response:
        """Send every alert behind a point again that no webhook has delivered; with `all`, every one.

        With `dry_run` it sends nothing and tells how many would go out.
        """
        client_id = client_of(request, "subscriptions")
        known(request)
        subscription_id = request.match_info["id"]
        if self._resources.subscriptions.find(client_id, subscription_id) is None:
            raise Problem("not_found", "There is no such subscription.")
        wanted = await read_body(request, Recovery, _wanted_of)
        self._must_be_enabled(client_id, subscription_id)
        async with self._turn(client_id):
            await self._read_your_writes.everything_told(client_id, request)
            rows = await self._to_recover(client_id, subscription_id, wanted.point, every=wanted.every)
            if not wanted.dry_run:
                await self._send(client_id, rows)
        return json_response({"deliveries": len(rows)}, 200 if wanted.dry_run else 202)

    async def _found(self, client_id: str, delivery_id: str) -> Delivery:
        """A delivery that can be sent again.

        Raises:
            Problem: 404 `not_found`, 409 `delivery_not_repeatable`, `delivery_pending`.
        """
        question = recovery.delivery(client_id, delivery_id, self._resources.erased_of(client_id))
        rows = await self._resources.ask_for(client_id, question)
        if not rows:
            raise Problem("not_found", "There is no such delivery.")
        found = Delivery(*rows[0])
        if found.kind not in ("alert", "digest"):
            detail = f"A {found.kind} event is not sent again; ask for another one."
            raise Problem("delivery_not_repeatable", detail)
        if found.state in ("pending", "held"):
            raise Problem("delivery_pending", "The delivery has not ended: it goes out by itself.")
        return found

    async def _to_recover(
        self, client_id: str, subscription_id: str, point: Point, *, every: bool
    ) -> list[Row]:
        erased, ask = self._resources.erased_of(client_id), self._resources.ask_for
        question = recovery.to_recover(client_id, subscription_id, point, erased, every=every, limit=MOST + 1)
        ended = [Delivery(*row) for row in await ask(client_id, question)]
        question = recovery.never_made(client_id, subscription_id, point, erased, MOST + 1)
        without = [alert_of(row) for row in await ask(client_id, question)]
        number = len(ended) + len(without)
        listed = sum(min(one.alerts, LISTED) for one in ended)
        if number > MOST or listed > MOST_LISTED:
            detail = f"More than {MOST:,} deliveries would be pending, or {MOST_LISTED:,} alerts in digests."
            raise Problem("too_many", f"{detail} Begin with what is behind a later point.")
        await self._must_have_room(client_id, subscription_id, number)
        rows = await self._made_again.rows(client_id, subscription_id, ended)
        return rows + [alert_again(client_id, alert, NEVER_MADE) for alert in without]

    async def _must_have_room(self, client_id: str, subscription_id: str, number: int) -> None:
        """Refuse what role deliver would drop, since too much of the endpoint or of its client waits.

        Raises:
            Problem: 422 `too_many`.
        """
        question = recovery.waiting(client_id, subscription_id)
        [[of_endpoint, of_client]] = await self._resources.ask_for(client_id, question)
        free = room(of_endpoint, of_client, self._resources.settings.row_limits)
        if number > free:
            pending = f"{of_endpoint:,} deliveries of the endpoint and {of_client:,} of the client"
            raise Problem("too_many", f"{pending} are pending: only {free:,} more may be, not {number:,}.")

    def _turn(self, client_id: str) -> asyncio.Lock:
        return self._calls.setdefault(client_id, asyncio.Lock())

    def _must_be_enabled(self, client_id: str, subscription_id: str) -> None:
        found = self._resources.subscriptions.find(client_id, subscription_id)
        if found is None or not found.enabled:
            raise Problem("subscription_disabled", "The subscription is deleted, or has to be enabled first.")

    async def _send(self, client_id: str, rows: Sequence[Row]) -> None:
        """Have role deliver send them; returns once the last one is recorded so, or after SEEN_SECONDS."""
        try:
            for start in range(0, len(rows), SLICE):
                tasks = [_encode(RedeliveryTask(row=row)) for row in rows[start : start + SLICE]]
                await self._send_tasks(client_id, tasks)
        except NotSent as error:
            detail = "Kafka cannot be reached; some may go out again already. Try again."
            raise Problem("unknown_outcome", detail) from error
        if rows:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SEEN_SECONDS):
                    await self._seen(client_id, rows[-1])

    async def _seen(self, client_id: str, row: Row) -> None:
        """Returns once the store knows more of a delivery than when it was made again."""
        question = recovery.delivery(client_id, row.id, self._resources.erased_of(client_id))
        while True:
            found = [Delivery(*row) for row in await self._resources.ask(question)]
            if found and (found[0].state in ("pending", "held") or found[0].attempts > row.attempt):
                return
            await asyncio.sleep(POLL_SECONDS)


def _wanted_of(body: Recovery) -> Wanted:
    if (body.after_seq is None) == (body.since is None):
        raise Problem("invalid_body", "Of after_seq and since, one is needed and the other not.")
    if body.after_seq is not None and not 0 <= body.after_seq <= LARGEST:
        raise Problem("value_out_of_range", f"after_seq must be from 0 to {LARGEST}.")
    since = None if body.since is None else moment_in("since", body.since)
    return Wanted(Point(body.after_seq, since), body.every, body.dry_run)
