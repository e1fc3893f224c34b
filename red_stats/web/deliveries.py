"""`/v1/deliveries`: the deliveries of a client with all their attempts."""

from typing import Any

from aiohttp import web

from red_common.events import rfc3339
from red_common.problems import Problem
from red_common.web.auth import client_of
from red_common.web.responses import json_response
from red_stats.domain.measurements import from_ms
from red_stats.resources import Resources
from red_stats.store import queries
from red_stats.web.parameters import LARGEST, count_of, invalid, known

STATES = ("pending", "held", "delivered", "exhausted", "cancelled")


class Deliveries:
    """The view of deliveries, from ClickHouse, newest first."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    def routes(self) -> list[web.RouteDef]:
        """The routes of this view."""
        return [web.get("/v1/deliveries", self.page), web.get("/v1/deliveries/{id}", self.get)]

    async def page(self, request: web.Request) -> web.Response:
        """A page of deliveries; `next` is the next `after`."""
        client_id = client_of(request, "subscriptions")
        given = known(request, "subscription", "alert", "state", "after", "limit")
        if given.get("state", "pending") not in STATES:
            raise invalid("state", f"it must be one of {', '.join(STATES)}")
        limit = count_of(given, "limit", 100, 1, 1000)
        after = count_of(given, "after", LARGEST, 0, LARGEST)
        question = queries.deliveries(
            client_id,
            limit=limit + 1,
            before=after,
            subscription_id=given.get("subscription"),
            alert_id=given.get("alert"),
            state=given.get("state"),
        )
        rows = await self._resources.ask_for(client_id, question)
        more = len(rows) > limit
        items = [_delivery(row) for row in rows[:limit]]
        return json_response({"items": items, "next": str(rows[limit - 1][7]) if more else None})

    async def get(self, request: web.Request) -> web.Response:
        """One delivery; 404 `not_found` if the client has none with this id."""
        client_id = client_of(request, "subscriptions")
        known(request)
        question = queries.deliveries(client_id, limit=1, delivery_id=request.match_info["id"])
        rows = await self._resources.ask_for(client_id, question)
        if not rows:
            raise Problem("not_found", "There is no such delivery.")
        return json_response(_delivery(rows[0]))


def _delivery(row: tuple[Any, ...]) -> dict[str, Any]:
    delivery_id, webhook_id, alert_id, subscription, state, attempts, due, _ = row
    return {
        "id": delivery_id,
        "webhook_id": webhook_id,
        "alert_id": alert_id or None,
        "subscription_id": subscription,
        "state": state,
        "next_attempt_at": rfc3339(from_ms(due)) if state == "pending" and due else None,
        "attempts": [
            {
                "attempt": number,
                "at": rfc3339(from_ms(at)),
                "status": status or None,
                "error": error or None,
                "ms": ms,
            }
            for number, at, status, error, ms in attempts
        ],
    }
