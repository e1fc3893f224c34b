"""`/v1/deliveries/{id}/webhook`: what the requests of a delivery say, which is the same at every attempt."""

from aiohttp import web

from red_common.problems import Problem
from red_common.web.auth import client_of
from red_common.web.responses import json_response
from red_stats.resources import Resources
from red_stats.store import recovery
from red_stats.store.recovery import Delivery
from red_stats.web.made_again import MadeAgain
from red_stats.web.parameters import known


class Webhooks:
    """The view of what is in a webhook, made again from its alerts as `redeliver` makes it."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._made_again = MadeAgain(resources)

    def routes(self) -> list[web.RouteDef]:
        """The route of this view."""
        return [web.get("/v1/deliveries/{id}/webhook", self.get)]

    async def get(self, request: web.Request) -> web.Response:
        """The body of a delivery, byte for byte, and the headers that no attempt has another of."""
        client_id = client_of(request, "subscriptions")
        known(request)
        question = recovery.delivery(
            client_id, request.match_info["id"], self._resources.erased_of(client_id)
        )
        found = [Delivery(*row) for row in await self._resources.ask_for(client_id, question)]
        if not found:
            raise Problem("not_found", "There is no such delivery.")
        [one] = found
        rows = await self._made_again.rows(client_id, one.subscription_id, found)
        if not rows:
            raise Problem("not_found", _why_not(one.kind))
        headers = {"content-type": "application/json", "webhook-id": rows[0].webhook_id}
        return json_response({"headers": headers, "body": rows[0].body.decode()})


def _why_not(kind: str) -> str:
    if kind in ("alert", "digest"):
        return "Not every alert of the delivery is recorded."
    return f"What a {kind} event says is not kept."
