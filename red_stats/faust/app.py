"""The Faust app of a role: batched transport, tables that load themselves, resources around the streams."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, Final, cast

import faust
from faust.auth import SASLCredentials, SSLCredentials
from faust.types import TP
from faust.types.auth import CredentialsT
from faust.web.drivers.aiohttp import Web
from mode.utils.objects import cached_property
from mode.utils.queues import FlowControlEvent
from yarl import URL

from red_common.kafka.connection import KafkaError
from red_common.kafka.refusals import denied, why_failed
from red_common.kafka.security import KafkaSecurity
from red_common.web.runner import Runner
from red_stats.faust.agent import fold_agent, recording_agent
from red_stats.faust.batch_consumer import BatchConsumer, BatchTransport
from red_stats.faust.loaded_table import LoadedTables, declare_tables
from red_stats.faust.role import Fatal, Resource, Role, Site
from red_stats.settings import Settings

log = logging.getLogger(__name__)

MAX_BODY: Final = 64 << 10
MAX_FETCH: Final = 8 << 20  # bytes of one partition in one fetch


class KeptFlow(FlowControlEvent):
    """Suspends and resumes streams without emptying them.

    Faust empties them when it resumes, for the second time after it has sought: with the next generation
    close behind, that drops batches which were fetched after the seek, and nobody fetches them again. What
    an older generation left in a stream is skipped there, and refused by the fold.
    """

    def clear(self) -> None:
        """Do nothing."""


class StatsApp(faust.App):
    """Runs one role, with a web server if it is given a `site`."""

    def __init__(self, settings: Settings, role: Role[Any], *, site: Site | None = None) -> None:
        app_id = role.states.app_id
        super().__init__(app_id, **_options(settings, app_id, site))
        self.role = role
        self._stats_settings, self._site = settings, site
        self._exit_stack = AsyncExitStack()
        declare_tables(self, role.states, self.rebalance, settings.partitions)
        for topic, fold in role.folds.items():
            self._bind(topic, fold_agent(role.states.role, fold, self, role.states.fatal))
        for topic, recording in role.recordings.items():
            self._bind(topic, recording_agent(recording, self, role.states.fatal))

    async def on_start(self) -> None:
        """Open the role's resources in order, waiting for Kafka if necessary."""
        await super().on_start()
        role, stack = self.role, self._exit_stack
        refused = partial(why_failed, self._stats_settings.connection)
        for resource in role.resources:
            await enter_with_retries(
                stack, resource, role.states.app_id, lambda: self.should_stop, role.states.fatal, refused
            )
        stack.push_async_callback(role.states.close, role.on_revoked)
        for step in role.stopping:
            stack.push_async_callback(step)

    async def on_stop(self) -> None:
        """Close the resources after the streams have ended, last opened first."""
        await super().on_stop()
        await self._exit_stack.aclose()

    async def rebalance(self, partitions: set[int], generation: int) -> None:
        """Take every assigned partition anew; called again for the same generation, it does nothing."""
        role = self.role
        try:
            await role.states.rebalance(
                partitions, generation, on_assigned=role.on_assigned, on_revoked=role.on_revoked
            )
        except KafkaError as error:
            if (refused := denied(error)) is not None:
                role.states.fatal(refused)
            raise

    def resume_offset(self, tp: TP) -> int:
        """The offset at which a source partition goes on after an assignment."""
        return self.role.resume_offset(self.role.states.held.get(tp.partition), tp.topic)

    def pause(self, tp: TP) -> None:
        """Stop fetching a source partition, since too much of it waits."""
        cast(BatchConsumer, self.consumer).pause(tp)

    def resume(self, tp: TP) -> None:
        """Go on fetching a source partition."""
        cast(BatchConsumer, self.consumer).resume(tp)

    @cached_property
    def flow_control(self) -> FlowControlEvent:
        """The flow of the streams."""
        return KeptFlow()

    def _bind(self, topic: str, agent: Callable[[Any], Any]) -> None:
        channel = self.topic(topic, key_serializer="raw", value_serializer="raw", value_type=bytes)
        self.agent(channel, name=f"{self.role.states.role}-{topic}")(agent)

    def _new_transport(self) -> BatchTransport:
        return BatchTransport(self.conf.broker_consumer, self, loop=None)

    def _new_web(self) -> Web:
        return _SiteServer(self, self._stats_settings, self._site)


async def enter_with_retries(
    stack: AsyncExitStack,
    resource: Resource,
    owner: str,
    should_stop: Callable[[], bool],
    fatal: Fatal,
    refused: Callable[[Exception], Awaitable[str | None]],
) -> None:
    """Open a resource on a stack, retrying every 0.5 s while Kafka is away; any other failure is fatal.

    So is one behind which `refused` finds that Kafka will not have this process: waiting mends no password.
    """
    waited = False
    while not should_stop():
        try:
            await stack.enter_async_context(resource())
            return
        except (KafkaError, OSError) as error:
            if (why := await refused(error)) is not None:
                fatal(f"{owner}: {why}")
            if not waited:
                log.warning("%s: waiting for Kafka: %r", owner, error)
                waited = True
            await asyncio.sleep(0.5)
        except Exception as error:  # waiting would not help
            fatal(str(error))


class _SiteServer(Web):
    """Faust's web server with our routes only: its own views would show any key to anybody."""

    def __init__(self, app: faust.App, settings: Settings, site: Site | None) -> None:
        super().__init__(app)
        if site is not None:
            self.web_app.add_routes(site.routes)
        self._runner = Runner(
            self.web_app,
            max_connections=settings.connections,
            certificate=settings.open_certificate(),
            keepalive_timeout=settings.idle_seconds,
            shutdown_timeout=2,
            reads=site.reads if site is not None else (),
            handler_cancellation=True,  # who reads and leaves is answered no more; see web/changes.py
        )

    def _enabled_blueprints(self) -> list[Any]:
        return []


def _options(settings: Settings, app_id: str, site: Site | None) -> dict[str, Any]:
    """The settings of Faust; docs/architecture.md, "Beneath Faust", gives the reason for each."""
    options: dict[str, Any] = {}
    if settings.instance:
        options["consumer_group_instance_id"] = f"{app_id}-{settings.instance}"
    if site is not None:
        options |= {
            "web_bind": settings.host,
            "web_port": settings.stats_port,
            "web_in_thread": False,
            "web_application_options": {"middlewares": site.middlewares, "client_max_size": MAX_BODY},
        }
    return options | {
        "broker": f"kafka://{settings.connection.bootstrap.replace(',', ';')}",
        "broker_credentials": _credentials(settings.connection.security),
        "broker_session_timeout": settings.session_timeout,
        "broker_heartbeat_interval": settings.session_timeout / 5,
        # a dead connection is noticed after this; Faust's default is 90 s
        "broker_request_timeout": max(20.0, 2.5 * settings.session_timeout),
        "broker_max_poll_records": 50_000,
        "consumer_max_fetch_size": MAX_FETCH,
        "consumer_auto_offset_reset": "earliest",
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "table_standby_replicas": 0,
        "stream_wait_empty": False,
        "stream_recovery_delay": 0,
        "producer_linger": 0,
        "web_enabled": site is not None,
        "datadir": settings.data / "faust",
        "TableManager": LoadedTables,
        # Faust refuses an assignment that names another address, which a static member that was restarted
        # on another port would get; our addresses are on a topic (kafka/partition_owners.py).
        "canonical_url": URL(f"http://{app_id}"),
    }


def _credentials(security: KafkaSecurity) -> CredentialsT | None:
    """How Faust's own consumer and producer are let in; None without locks."""
    if security.has_sasl:
        return SASLCredentials(
            mechanism=security.mechanism,
            username=security.username,
            password=security.password,
            ssl_context=security.ssl_context,
        )
    return SSLCredentials(security.ssl_context) if security.has_tls else None
