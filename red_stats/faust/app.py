"""A Faust app of ours: batched transport, tables that load themselves, services beside its streams."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, cast

import faust
from aiohttp import web
from faust.types import TP
from yarl import URL

from red_common.kafka.connection import KafkaError
from red_stats.faust.batch_consumer import BatchConsumer, BatchTransport, Patience
from red_stats.faust.loaded_table import Tables, declare_tables
from red_stats.settings import Settings
from red_stats.tables.partition_state import Owned, Ownership

log = logging.getLogger(__name__)

MAX_BODY = 64 << 10
MAX_FETCH = 8 << 20  # bytes of one partition in one fetch
Step = Callable[[], Awaitable[None]]


class StatsApp(faust.App):
    """Opens what its agents and views need before the streams, and closes it after them."""

    ownership: Ownership
    patience: Patience
    opening: list[Step]
    closing: list[Step]
    go_on: Callable[[Owned | None, str], int | None]

    async def on_start(self) -> None:
        """Open in order, however long Kafka is away."""
        await super().on_start()
        for step in self.opening:
            await self._patiently(step)

    async def on_stop(self) -> None:
        """Close after the streams, last opened first."""
        await super().on_stop()
        for step in reversed(self.closing):
            await step()

    def next_offset(self, tp: TP) -> int | None:
        """Where a source partition goes on; None when nothing was folded yet."""
        return self.go_on(self.ownership.owned.get(tp.partition), tp.topic)

    def hold(self, tp: TP) -> None:
        """Fetch no more of a source partition: too much of it waits."""
        cast(BatchConsumer, self.consumer).hold(tp)

    def release(self, tp: TP) -> None:
        """Fetch it again."""
        cast(BatchConsumer, self.consumer).release(tp)

    async def _patiently(self, step: Step) -> None:
        told = False
        while not self.should_stop:
            try:
                await step()
                return
            except (KafkaError, OSError) as error:
                if not told:
                    log.warning("%s: waiting for Kafka: %r", self.conf.id, error)
                    told = True
                await asyncio.sleep(0.5)
            except Exception as error:  # what nobody can wait for: one line, and out
                self.ownership.fatal(str(error))


def after_mark(owned: Owned | None, topic: str) -> int | None:
    """The offset after the one the mark names; None when nothing was folded yet."""
    offset = -1 if owned is None else owned.mark(topic).offset
    return None if offset < 0 else offset + 1


def new_app(settings: Settings, app_id: str, ownership: Ownership) -> StatsApp:
    """A Faust app with the settings every role shares; what they are for is in design.md 4-6."""
    instance: dict[str, Any] = {}
    if settings.instance:
        instance["consumer_group_instance_id"] = f"{app_id}-{settings.instance}"
    app = StatsApp(
        app_id,
        broker=f"kafka://{settings.connection.bootstrap.replace(',', ';')}",
        broker_session_timeout=settings.session_timeout,
        broker_heartbeat_interval=settings.session_timeout / 5,
        # a connection that died without a word is noticed after this; Faust's default is 90 s
        broker_request_timeout=max(20.0, 2.5 * settings.session_timeout),
        broker_max_poll_records=50_000,
        consumer_max_fetch_size=MAX_FETCH,
        consumer_auto_offset_reset="earliest",
        topic_allow_declare=False,
        topic_disable_leader=True,
        table_standby_replicas=0,
        stream_wait_empty=False,
        stream_recovery_delay=0,
        producer_linger=0,
        web_enabled=False,
        datadir=settings.data / "faust",
        TableManager=Tables,
        **instance,
    )
    # Faust refuses an assignment that names another address, as a named worker gets it that was
    # started again on another port; we tell addresses in our own way (adapters/whereabouts.py).
    app.conf.canonical_url = URL(f"http://{app_id}")
    app.ownership, app.go_on, app.patience = ownership, after_mark, Patience()
    app.opening, app.closing = [], [ownership.close]
    app.transport = BatchTransport(app.conf.broker_consumer, app, loop=None)
    declare_tables(app, ownership, settings.partitions)
    return app


def source(app: StatsApp, topic: str) -> Any:
    """A topic whose fetched batches come as they are."""
    return app.topic(topic, key_serializer="raw", value_serializer="raw", value_type=bytes)


def serve(app: StatsApp, settings: Settings, middlewares: list[Any], routes: list[web.RouteDef]) -> None:
    """Open Faust's web server with our routes only: its own views answer anybody about any key."""
    app.conf.web_enabled = True
    app.conf.web_bind, app.conf.web_port = settings.host, settings.stats_port
    app.conf.web_in_thread = False
    app.conf.web_application_options = {"middlewares": middlewares, "client_max_size": MAX_BODY}
    server: Any = app.web
    server.blueprints._enabled.clear()
    server.web_app.add_routes(routes)
    server._runner = web.AppRunner(server.web_app, access_log=None, shutdown_timeout=2)
