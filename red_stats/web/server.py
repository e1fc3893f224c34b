"""Every address of RED_STATS: the views in a process of role live, health and metrics in any."""

from typing import Any

from aiohttp import web

from red_common.problems import Problem
from red_common.web.auth import authentication
from red_common.web.errors import problems
from red_stats import topics
from red_stats.faust.app import StatsApp
from red_stats.kafka.command_client import Commands
from red_stats.kafka.partition_owners import Whereabouts
from red_stats.kafka.record_sender import Sender
from red_stats.resources import Parts
from red_stats.store.clickhouse import StoreError
from red_stats.web.alerts import Alerts
from red_stats.web.at_least import Folded
from red_stats.web.deliveries import Deliveries
from red_stats.web.health import Health
from red_stats.web.live import Live
from red_stats.web.owner_proxy import Owners
from red_stats.web.pages import documents
from red_stats.web.rebuild import Rebuild
from red_stats.web.statistics import Statistics
from red_stats.web.subscriptions import Subscriptions

PUBLIC = ("/health/", "/metrics", "/openapi.json", "/docs", "/static/")

Web = tuple[list[Any], list[web.RouteDef]]


def routes_of_health(parts: Parts, app: StatsApp) -> Web:
    """Middlewares and routes of a process without live; everything else is 404."""
    health = Health(parts)
    return [problems(_of_store)], health.routes()


def routes_of_api(parts: Parts, app: StatsApp) -> Web:
    """Middlewares and routes of a process with live, and what they need opened before."""
    sender = Sender(parts.settings.connection)
    commands = Commands(parts.settings.connection, sender)
    told = Whereabouts(parts.settings.connection, sender, parts.settings.advertised_url)
    parts.ownerships["live"].on_owned.append(lambda owned: told.tell(owned.number))
    owners = Owners(parts.ownerships["live"], told)
    folded = Folded(parts, owners)
    keys, directory = parts.keys, parts.directory.follower
    app.opening = [
        keys.start,
        parts.open_directory,
        commands.follower.start,
        told.follower.start,
        *app.opening,
    ]
    app.closing = [keys.stop, directory.stop, commands.follower.stop, sender.stop, folded.stop, *app.closing]
    app.closing = [owners.stop, told.follower.stop, *app.closing]
    parts.checks["api_keys"] = lambda: keys.is_current
    parts.checks["subscriptions"] = lambda: directory.is_current

    async def test_task(client_id: str, value: bytes) -> None:
        await sender.send(topics.DELIVERY_TASKS, client_id, value)

    views: list[Any] = [
        Health(parts),
        Live(parts, folded, owners),
        Statistics(parts, folded),
        Subscriptions(parts, commands.ask, test_task),
        Alerts(parts, folded),
        Deliveries(parts),
        Rebuild(parts, owners),
    ]
    routes = [route for view in views for route in view.routes()]
    known = authentication(parts.keyring, is_known=lambda: keys.running, is_public=is_public)
    return [problems(_of_store), known], routes + documents()


def is_public(path: str) -> bool:
    """Whether a path needs no key."""
    return path == "/" or path.startswith(PUBLIC)


def _of_store(error: Exception) -> Problem | None:
    if isinstance(error, StoreError):
        return Problem("store_unavailable", "The statistics store cannot answer now; try again.")
    return None
