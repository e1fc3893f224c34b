"""`/v1/deliveries`: the deliveries of a client with all their attempts."""

import re
from collections.abc import Sequence
from typing import Any, Final

from aiohttp import web

from red_common.events import rfc3339
from red_common.problems import Problem
from red_common.web.auth import client_of
from red_common.web.responses import json_response
from red_stats.domain.measurements import from_ms
from red_stats.resources import Resources
from red_stats.store import alert_queries
from red_stats.store.alert_queries import Between, Made
from red_stats.web.parameters import choice_of, count_of, invalid, known, range_of, time_of

MAX_ID: Final = 200
_AT: Final = re.compile(r"[0-9]{1,15}")
STEPS = ("dns", "connect", "tls", "first_byte")
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
        given = known(request, "subscription", "alert", "state", "from", "to", "after", "limit")
        if "state" in given:
            choice_of(given, "state", STATES)
        if given.get("alert") == "":
            raise invalid("alert", "it must be the id of an alert")
        limit = count_of(given, "limit", 100, 1, 1000)
        rows = await self._rows(client_id, given, _made_in(given), _place_of(given), limit + 1)
        items = [row[-1] for row in rows[:limit]]
        last = rows[limit - 1] if len(rows) > limit else None
        return json_response({"items": items, "next": f"{last[7]}-{last[0]}" if last is not None else None})

    async def _rows(
        self, client_id: str, given: dict[str, str], made: Between, before: Made | None, limit: int
    ) -> list[tuple[Any, ...]]:
        erased = self._resources.erased_of(client_id)
        if "alert" in given:
            rows = await deliveries_of(self._resources, client_id, given["alert"])
            return [row for row in rows if _is_asked_for(row, given, made, before)]
        for among in (4 * limit, 64 * limit, None):  # a delivery has two rows or more
            question = alert_queries.deliveries(
                client_id,
                limit=limit,
                before=before,
                made=made,
                subscription_id=given.get("subscription"),
                state=given.get("state"),
                among=among,
                erased=erased,
            )
            rows = await self._resources.ask_for(client_id, question, delivery_of)
            if len(rows) == limit or (among is not None and rows and rows[0][9] < among):
                break
        return rows

    async def get(self, request: web.Request) -> web.Response:
        """One delivery; 404 `not_found` if the client has none with this id."""
        client_id = client_of(request, "subscriptions")
        known(request)
        erased = self._resources.erased_of(client_id)
        question = alert_queries.delivery(client_id, delivery_id=request.match_info["id"], erased=erased)
        rows = await self._resources.ask_for(client_id, question, delivery_of)
        if not rows:
            raise Problem("not_found", "There is no such delivery.")
        return json_response(rows[0][-1])


async def deliveries_of(resources: Resources, client_id: str, alert_id: str) -> list[tuple[Any, ...]]:
    """The delivery that an alert is in, as a row of the store that ends with it as JSON; none: it waits."""
    erased = resources.erased_of(client_id)
    alone = alert_queries.delivery(client_id, alert_id=alert_id, erased=erased)
    rows = await resources.ask_for(client_id, alone, delivery_of)
    if rows:
        return rows
    return await resources.ask_for(
        client_id, alert_queries.digest_with(client_id, alert_id, erased), delivery_of
    )


def _made_in(given: dict[str, str]) -> Between:
    """Between which times deliveries were made, as `from` and `to` say.

    Raises:
        Problem: 400, one of them cannot be read, or `from` is later than `to`.
    """
    if "from" in given and "to" in given:
        return Between(*range_of(given))
    return Between(*(time_of(given, name) if name in given else None for name in ("from", "to")))


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


def _is_asked_for(row: tuple[Any, ...], given: dict[str, str], made: Between, before: Made | None) -> bool:
    return (
        given.get("subscription", row[3]) == row[3]
        and given.get("state", row[4]) == row[4]
        and (made.start is None or row[7] >= made.start)
        and (made.end is None or row[7] < made.end)
        and (before is None or (row[7], row[0]) < before)
    )


def delivery_of(row: tuple[Any, ...]) -> dict[str, Any]:
    """A delivery as clients see it, from DELIVERY_COLUMNS."""
    delivery_id, webhook_id, alert_id, subscription, state, attempts, due, made, alerts, *_ = row
    kind, first, last, count = alerts
    return {
        "id": delivery_id,
        "kind": kind,
        "webhook_id": webhook_id,
        "alert_id": alert_id or None,
        "first_seq": first or None,
        "last_seq": last or None,
        "count": count,
        "subscription_id": subscription,
        "state": state,
        "created_at": rfc3339(from_ms(made)),
        "next_attempt_at": rfc3339(from_ms(due)) if state == "pending" and due else None,
        "attempts": [_attempt(*attempt) for attempt in attempts],
    }


def _attempt(
    number: int, at: int, status: int, error: str, ms: int, steps: Sequence[int], due: int, because: str
) -> dict[str, Any]:
    took = {name: None if step < 0 else step for name, step in zip(STEPS, steps, strict=True)}
    return {
        "attempt": number,
        "at": rfc3339(from_ms(at)),
        "status": status or None,
        "error": error or None,
        "ms": ms,
        "timing": took | {"total": ms},
        "next": {"at": rfc3339(from_ms(due)), "because": because} if because else None,
    }
