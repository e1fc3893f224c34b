"""`/v1/deliveries`: the deliveries of a client with all their attempts."""

import re
from typing import Any, Final

from aiohttp import web

from red_common.events import rfc3339
from red_common.problems import Problem
from red_common.web.auth import client_of
from red_common.web.responses import json_response
from red_stats.domain.measurements import from_ms
from red_stats.resources import Resources
from red_stats.store import queries
from red_stats.store.queries import LAST_STATES, Made
from red_stats.web.parameters import count_of, invalid, known

MAX_ID: Final = 200
_AT: Final = re.compile(r"[0-9]{1,15}")
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
        if given.get("alert") == "":
            raise invalid("alert", "it must be the id of an alert")
        limit = count_of(given, "limit", 100, 1, 1000)
        rows = await self._rows(client_id, given, _place_of(given), limit + 1)
        items = [row[-1] for row in rows[:limit]]
        last = rows[limit - 1] if len(rows) > limit else None
        return json_response({"items": items, "next": f"{last[7]}-{last[0]}" if last is not None else None})

    async def _rows(
        self, client_id: str, given: dict[str, str], before: Made | None, limit: int
    ) -> list[tuple[Any, ...]]:
        if "alert" in given:
            question = queries.delivery(client_id, alert_id=given["alert"])
            rows = await self._resources.ask_for(client_id, question, _delivery)
            return [row for row in rows if _is_asked_for(row, given, before)]
        is_last = given.get("state") in LAST_STATES
        for among in (None,) if is_last else (4 * limit, 64 * limit, None):  # a delivery has two rows or more
            question = queries.deliveries(
                client_id,
                limit=limit,
                before=before,
                subscription_id=given.get("subscription"),
                state=given.get("state"),
                among=among,
            )
            rows = await self._resources.ask_for(client_id, question, _delivery)
            if len(rows) == limit or (among is not None and rows and rows[0][8] < among):
                break
        return rows

    async def get(self, request: web.Request) -> web.Response:
        """One delivery; 404 `not_found` if the client has none with this id."""
        client_id = client_of(request, "subscriptions")
        known(request)
        question = queries.delivery(client_id, delivery_id=request.match_info["id"])
        rows = await self._resources.ask_for(client_id, question, _delivery)
        if not rows:
            raise Problem("not_found", "There is no such delivery.")
        return json_response(rows[0][-1])


def _place_of(given: dict[str, str]) -> Made | None:
    """What `after` names; None without it.

    Raises:
        Problem: 400, it is no `next` of a page.
    """
    if "after" not in given:
        return None
    at, _, name = given["after"].partition("-")
    if not _AT.fullmatch(at) or not 0 < len(name) <= MAX_ID:
        raise invalid("after", "it must be the `next` of a page")
    return Made(int(at), name)


def _is_asked_for(row: tuple[Any, ...], given: dict[str, str], before: Made | None) -> bool:
    return (
        given.get("subscription", row[3]) == row[3]
        and given.get("state", row[4]) == row[4]
        and (before is None or (row[7], row[0]) < before)
    )


def _delivery(row: tuple[Any, ...]) -> dict[str, Any]:
    delivery_id, webhook_id, alert_id, subscription, state, attempts, due, *_ = row
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
