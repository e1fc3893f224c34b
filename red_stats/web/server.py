"""Every address of RED_STATS: the views in a process of role live, health and metrics in any."""

import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from red_common.kafka.audit_log import AuditWriter
from red_common.problems import Problem
from red_common.web.auth import authentication
from red_common.web.clients import known_clients
from red_common.web.errors import problems
from red_common.web.more_headers import more_headers
from red_common.web.trust import trust
from red_stats import topics
from red_stats.domain.stalls import Stall
from red_stats.faust.role import Resource, Site
from red_stats.kafka.command_client import CommandClient
from red_stats.kafka.partition_owners import PartitionOwners
from red_stats.kafka.record_sender import RecordSender
from red_stats.resources import Resources
from red_stats.store.clickhouse import StoreError
from red_stats.store.recorder import Recorder
from red_stats.tables.partition_state import PartitionStates
from red_stats.web.alert_stream import AlertStreams
from red_stats.web.alert_tail import AlertTail
from red_stats.web.alerts import Alerts
from red_stats.web.at_least import ReadYourWrites
from red_stats.web.changes import READS, changes_go_on
from red_stats.web.clickhouse import PING, ClickHouse, bearer_of, told_to_drivers
from red_stats.web.deliveries import Deliveries
from red_stats.web.erase import Erase
from red_stats.web.event_streams import stream_places
from red_stats.web.health import Health
from red_stats.web.live import live_of
from red_stats.web.live_stream import LiveStreams
from red_stats.web.measurements import Measurements
from red_stats.web.owner_proxy import OwnerProxy
from red_stats.web.owner_views import OwnerViews
from red_stats.web.pages import documents
from red_stats.web.plans import Plans
from red_stats.web.preview import Previews
from red_stats.web.rebuild import Rebuild
from red_stats.web.redeliver import Redeliveries
from red_stats.web.request_limits import request_limits, test_event_limits
from red_stats.web.sql import Sql
from red_stats.web.statistics import Statistics
from red_stats.web.subscriptions import Subscriptions
from red_stats.web.webhooks import Webhooks
from red_stats.web.worker_tokens import WorkerTokens

PUBLIC: Final = ("/health/", "/metrics", "/openapi.json", "/docs", "/static/", PING)
LIVE: Final = "/v1/live"
States = Mapping[str, PartitionStates[Any]]


def health_site(resources: Resources, states: States, stalls: Callable[[], Sequence[Stall]]) -> Site:
    """What a process without role live answers; everything else is 404."""
    clients = known_clients(resources.settings.proxies)
    return Site([clients, problems(_of_store)], Health(resources, states, checks={}, stalls=stalls).routes())


class Api:
    """The views of a process with role live, and what they need open."""

    def __init__(
        self,
        resources: Resources,
        states: States,
        recorders: Mapping[str, Recorder],
        stalls: Callable[[], Sequence[Stall]],
    ) -> None:
        connection = resources.settings.connection
        self._stalls = stalls
        self._resources, self._states = resources, states
        self._sender = RecordSender(connection)
        self.audit = AuditWriter(connection, now=time.time)
        self._commands = CommandClient(connection, self._sender)
        self._owners = PartitionOwners(connection, self._sender, resources.settings.advertised_url)
        self._tokens = WorkerTokens(resources.secret_keys, time.time)
        trusted = partial(trust, resources.settings.tls_cert, resources.settings.tls_ca)
        self._proxy = OwnerProxy(states["live"], self._owners, self._tokens, trusted=trusted)
        self._places = stream_places()
        tail = AlertTail(connection, resources.erased_of)
        self._alert_streams = AlertStreams(resources, tail, self._places)
        self._read_your_writes = ReadYourWrites(resources, self._proxy, recorders)
        is_ours_alone = resources.store is not None and resources.store.embedded
        self._recorder = recorders.get(topics.MEASUREMENTS) if is_ours_alone else None

    def site(self) -> Site:
        """Middlewares and routes."""
        resources, keys = self._resources, self._resources.keys
        subscriptions = resources.subscriptions.follower
        checks = {"api_keys": lambda: keys.is_current, "subscriptions": lambda: subscriptions.is_current}
        live = self._states["live"]
        owner_views = OwnerViews(
            {LIVE: live_of},
            resources=resources,
            states=live,
            read_your_writes=self._read_your_writes,
            proxy=self._proxy,
        )
        views: list[Any] = [
            Health(resources, self._states, checks=checks, stalls=self._stalls),
            owner_views,
            LiveStreams(partial(owner_views.now, LIVE), resources.keyring, self._places),
            Statistics(resources, self._read_your_writes, Plans(self._recorder)),
            Measurements(resources, self._read_your_writes),
            Subscriptions(resources, self._commands.ask, self._send_tasks, test_event_limits(time.monotonic)),
            Previews(resources, self._read_your_writes),
            Alerts(resources, self._read_your_writes),
            self._alert_streams,
            Deliveries(resources),
            Webhooks(resources),
            Redeliveries(resources, self._read_your_writes, self._send_tasks),
            Sql(resources),
            ClickHouse(resources),
            Rebuild(resources, live, self._proxy),
            Erase(resources, self._commands.ask),
        ]
        routes = [route for view in views for route in view.routes()]
        known = authentication(
            resources.keyring,
            is_known=lambda: keys.running,
            is_public=is_public,
            note=self.audit.count,
            peer_of=self._tokens.caller_of,
            bearer_of=bearer_of,
        )
        limits = request_limits(time.monotonic, resources.subscriptions.size)
        middlewares = [
            known_clients(resources.settings.proxies),
            more_headers,
            problems(_of_store, told_to_drivers),
            known,
            limits,
            changes_go_on(),
        ]
        red_url = resources.settings.page_red_url or resources.settings.red_url
        return Site(middlewares, routes + documents(red_url), READS)

    def resources(self) -> list[Resource]:
        """What has to be open for the views to answer."""
        return [self._connections, self._commands.follower.followed, self._owners.follower.followed]

    async def on_assigned(self, partition: int) -> None:
        """Tell the other workers that role live holds a partition here."""
        await self._owners.announce(partition)

    async def _send_tasks(self, client_id: str, values: Sequence[bytes]) -> None:
        await self._sender.send(topics.DELIVERY_TASKS, client_id, *values)

    @contextlib.asynccontextmanager
    async def _connections(self) -> AsyncIterator[None]:
        """Each connects at its first use."""
        try:
            yield
        finally:
            for stop in (
                self._alert_streams.stop,
                self._read_your_writes.stop,
                self._proxy.stop,
                self._sender.stop,
            ):
                await stop()


def is_public(path: str) -> bool:
    """Whether a path needs no key."""
    return path == "/" or path.startswith(PUBLIC)


def _of_store(error: Exception) -> Problem | None:
    if isinstance(error, StoreError):
        return Problem("store_unavailable", "The statistics store cannot answer now; try again.")
    return None
