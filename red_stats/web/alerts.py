"""`/v1/alerts`: all that were raised, of one subscription by `seq` or newest first; and one explained."""

from typing import Any

import msgspec
import orjson
from aiohttp import web

from red_common.problems import Problem
from red_common.web.auth import client_of
from red_common.web.responses import json_response
from red_stats.domain.redelivery import alert_of
from red_stats.resources import Resources
from red_stats.store import alert_queries, statistics
from red_stats.store.statistics import Place
from red_stats.web.alert_version import version_of, with_now
from red_stats.web.at_least import ReadYourWrites
from red_stats.web.deliveries import deliveries_of
from red_stats.web.parameters import LARGEST, Position, choice_of, count_of, invalid, known, positions_of


class Alerts:
    """The view of alerts, from ClickHouse; `after=<last seq>` makes up for missed webhooks."""

    def __init__(self, resources: Resources, read_your_writes: ReadYourWrites) -> None:
        self._resources = resources
        self._read_your_writes = read_your_writes

    def routes(self) -> list[web.RouteDef]:
        """The routes of this view."""
        return [web.get("/v1/alerts", self.page), web.get("/v1/alerts/{id}", self.get)]

    async def page(self, request: web.Request) -> web.Response:
        """A page of alerts; `next` is the next `after` by `seq`, else the next `cursor`."""
        client_id = client_of(request, "subscriptions")
        given = known(request, "subscription", "order", "after", "cursor", "limit", repeated=("at_least",))
        subscription = given.get("subscription")
        if "after" in given and subscription is None:
            raise invalid("after", "it needs the parameter subscription, within which seq counts")
        order = choice_of(given, "order", ("newest",) if subscription is None else ("oldest", "newest"))
        if "cursor" in given and order == "oldest":
            raise invalid("cursor", "it cannot be combined with subscription; use after instead")
        if "after" in given and order == "newest":
            raise invalid("after", "it cannot be combined with order=newest; use cursor instead")
        limit = count_of(given, "limit", 100, 1, 1000)
        positions = positions_of(request, self._resources.settings.partitions)
        after = count_of(given, "after", 0, 0, LARGEST)
        cursor = count_of(given, "cursor", LARGEST, 0, LARGEST)
        await self._read_your_writes.alerts(positions, request)
        erased = self._resources.erased_of(client_id)
        if subscription is None or order == "newest":
            question = alert_queries.newest_alerts(client_id, cursor, limit + 1, erased, subscription)
        else:
            question = alert_queries.alerts_of(client_id, subscription, after, limit + 1, erased)
        rows = await self._resources.ask_for(client_id, question, _alert)
        if not rows and subscription and not await is_known(self._resources, client_id, subscription):
            raise Problem("not_found", "There is no such subscription.")
        return _page(rows, limit, 10 if order == "newest" else 3)

    async def get(self, request: web.Request) -> web.Response:
        """An alert from the image to the last attempt to tell of it.

        Raises:
            Problem: 404 `not_found`; 503 `not_yet`, its image is not recorded yet and did not come in time.
        """
        client_id = client_of(request, "subscriptions")
        known(request)
        erased, ask = self._resources.erased_of(client_id), self._resources.ask_for
        rows = await ask(client_id, alert_queries.alert(client_id, request.match_info["id"], erased), _alert)
        if not rows:
            raise Problem("not_found", "There is no such alert.")
        alert_id, subscription_id, version, at, position = (rows[0][n] for n in (0, 1, 2, 8, 9))
        versions = await ask(client_id, alert_queries.versions(client_id, subscription_id, version, erased))
        now = self._resources.subscriptions.find(client_id, subscription_id)
        deliveries = await deliveries_of(self._resources, client_id, alert_id)
        return json_response(
            {
                "alert": rows[0][-1],
                "measurement": await self._measurement(request, client_id, at, position),
                "version": version_of(with_now(versions, now), version, position),
                "deliveries": [row[-1] for row in deliveries],
            }
        )

    async def _measurement(
        self, request: web.Request, client_id: str, at: int, position: str
    ) -> orjson.Fragment | None:
        """The image that an alert is about, as `/v1/measurements` has it; None: it is recorded no more.

        An alert may be recorded before its image, each from a topic of its own: then the image is waited for.
        """
        partition, _, text = position.partition(":")
        offset = int(text)
        question = statistics.measurements(
            self._resources.images_of(client_id, at, at + 1),
            "JSONEachRow",
            limit=1,
            newest_first=False,
            behind=Place(at, offset - 1) if offset else None,
            upto=offset,
        )
        rows = await self._resources.ask_for(client_id, question)
        if not rows:
            await self._read_your_writes.stored([Position(int(partition), offset)], request)
            rows = await self._resources.ask_for(client_id, question)
        return orjson.Fragment(rows[0][2].rstrip()) if rows else None


async def is_known(resources: Resources, client_id: str, subscription: str) -> bool:
    """Whether a client has the subscription, or had it and it raised alerts."""
    if resources.subscriptions.find(client_id, subscription) is not None:
        return True
    erased = resources.erased_of(client_id)
    question = alert_queries.alerts_of(client_id, subscription, 0, 1, erased)
    return bool(await resources.ask_for(client_id, question))


def _page(rows: list[tuple[Any, ...]], limit: int, cursor: int) -> web.Response:
    more = len(rows) > limit
    return json_response(
        {
            "items": [row[-1] for row in rows[:limit]],
            "next": str(rows[limit - 1][cursor]) if more else None,
        }
    )


def _alert(row: tuple[Any, ...]) -> dict[str, Any]:
    return msgspec.structs.asdict(alert_of(row))
