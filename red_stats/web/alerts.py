"""`/v1/alerts`: all alerts raised; those of one subscription by `seq`, otherwise newest first."""

from typing import Any

from aiohttp import web

from red_common.events import rfc3339
from red_common.problems import Problem
from red_common.web.auth import client_of
from red_common.web.responses import json_response
from red_stats.domain.measurements import from_ms
from red_stats.resources import Resources
from red_stats.store import queries
from red_stats.web.at_least import ReadYourWrites
from red_stats.web.parameters import LARGEST, count_of, invalid, known, positions_of


class Alerts:
    """The view of alerts, from ClickHouse; `after=<last seq>` makes up for missed webhooks."""

    def __init__(self, resources: Resources, read_your_writes: ReadYourWrites) -> None:
        self._resources = resources
        self._read_your_writes = read_your_writes

    def routes(self) -> list[web.RouteDef]:
        """The routes of this view."""
        return [web.get("/v1/alerts", self.page)]

    async def page(self, request: web.Request) -> web.Response:
        """A page of alerts; `next` is the next `after` with `subscription`, the next `cursor` without."""
        client_id = client_of(request, "subscriptions")
        given = known(request, "subscription", "after", "cursor", "limit", repeated=("at_least",))
        subscription = given.get("subscription")
        if "after" in given and subscription is None:
            raise invalid("after", "it needs the parameter subscription, within which seq counts")
        if "cursor" in given and subscription is not None:
            raise invalid("cursor", "it cannot be combined with subscription; use after instead")
        limit = count_of(given, "limit", 100, 1, 1000)
        positions = positions_of(request, self._resources.settings.partitions)
        after = count_of(given, "after", 0, 0, LARGEST)
        cursor = count_of(given, "cursor", LARGEST, 0, LARGEST)
        await self._read_your_writes.alerts(positions, request)
        if subscription is None:
            rows = await self._resources.ask_for(
                client_id, queries.newest_alerts(client_id, cursor, limit + 1), _alert
            )
            return _page(rows, limit, 10)
        rows = await self._resources.ask_for(
            client_id, queries.alerts_of(client_id, subscription, after, limit + 1), _alert
        )
        if not rows and not await self._is_known(client_id, subscription):
            raise Problem("not_found", "There is no such subscription.")
        return _page(rows, limit, 3)

    async def _is_known(self, client_id: str, subscription: str) -> bool:
        """Whether this client has the subscription, or had it and it raised alerts."""
        if self._resources.subscriptions.find(client_id, subscription) is not None:
            return True
        return bool(
            await self._resources.ask_for(client_id, queries.alerts_of(client_id, subscription, 0, 1))
        )


def _page(rows: list[tuple[Any, ...]], limit: int, cursor: int) -> web.Response:
    more = len(rows) > limit
    return json_response(
        {
            "items": [row[-1] for row in rows[:limit]],
            "next": str(rows[limit - 1][cursor]) if more else None,
        }
    )


def _alert(row: tuple[Any, ...]) -> dict[str, Any]:
    alert_id, subscription, version, seq, prev_seq, image, red, threshold, at, position, _ = row
    return {
        "id": alert_id,
        "subscription_id": subscription,
        "version": version,
        "seq": seq,
        "prev_seq": prev_seq,
        "image_id": image,
        "red": red / 10000,
        "threshold": threshold / 10000,
        "measured_at": rfc3339(from_ms(at)),
        "position": position,
    }
