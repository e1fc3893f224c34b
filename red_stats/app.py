"""The composition root: reads top to bottom as the data flows."""

import logging
import os
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, NoReturn

import faust
import mode
from faust.types import TP

from red_stats import crash, topics
from red_stats.adapters.batching import BatchTransport
from red_stats.adapters.log_ends import LogEnds
from red_stats.adapters.secret_box import SecretBox, load_key
from red_stats.agents.binding import bind
from red_stats.agents.commanding import obey_commands
from red_stats.agents.counting import count_measurements
from red_stats.domain.urls import refusal
from red_stats.settings import Settings
from red_stats.tables.faust_table import declare_tables
from red_stats.tables.ownership import Ownership, TableSpec
from red_stats.tables.rows import AnswerRows, SequenceRows, ThresholdRows, WindowRows

log = logging.getLogger(__name__)

Fatal = Callable[[str], NoReturn]


def die(reason: str) -> NoReturn:
    """End the process at once: after a fence or a failed fold nothing more may be written."""
    log.critical("stopping: %s", reason)
    logging.shutdown()
    os._exit(70)


class StatsApp(faust.App):
    """A Faust app of ours: batched transport, tables that load themselves, services beside it."""

    ownership: Ownership
    closing: list[Callable[[], Awaitable[None]]]

    async def on_stop(self) -> None:
        """What was opened beside the streams is closed after them."""
        await super().on_stop()
        for close in self.closing:
            await close()

    def next_offset(self, tp: TP) -> int | None:
        """Where a source partition goes on, as its mark says; None when nothing was folded yet."""
        owned = self.ownership.owned.get(tp.partition)
        offset = -1 if owned is None else owned.mark(tp.topic).offset
        return None if offset < 0 else offset + 1


def new_app(settings: Settings, app_id: str, ownership: Ownership, **options: Any) -> StatsApp:
    """A Faust app with the settings every role shares; what they are for is in design.md 4-6."""
    app = StatsApp(
        app_id,
        broker=f"kafka://{settings.bootstrap.replace(',', ';')}",
        broker_session_timeout=settings.session_timeout,
        broker_heartbeat_interval=settings.session_timeout / 5,
        broker_max_poll_records=20_000,
        consumer_max_fetch_size=4 << 20,
        consumer_auto_offset_reset="earliest",
        topic_allow_declare=False,
        topic_disable_leader=True,
        table_standby_replicas=0,
        stream_wait_empty=False,
        stream_recovery_delay=0,
        producer_linger=0,
        web_enabled=False,
        **options,
    )
    app.ownership, app.closing = ownership, [ownership.close]
    app.transport = BatchTransport(app.conf.broker_consumer, app, loop=None)
    declare_tables(app, ownership, settings.partitions)
    return app


def source(app: StatsApp, topic: str) -> Any:
    """A topic whose fetched batches come as they are."""
    return app.topic(topic, key_serializer="raw", value_serializer="raw", value_type=bytes)


def create_live(settings: Settings, *, fatal: Fatal = die) -> StatsApp:
    """Role live: measurements -> counts and alerts, commands -> thresholds and answers."""
    box = SecretBox(load_key(settings.data, settings.secret_key))
    ends = LogEnds(settings.bootstrap)
    tables = [
        TableSpec("windows", topics.WINDOWS_CHANGELOG, WindowRows),
        TableSpec("alert_sequences", topics.ALERT_SEQUENCES_CHANGELOG, SequenceRows),
        TableSpec("thresholds", topics.SUBSCRIPTIONS, ThresholdRows),
        TableSpec("answers", topics.ANSWERS_CHANGELOG, AnswerRows),
    ]
    ownership = Ownership(settings.bootstrap, topics.LIVE, tables, fatal=fatal)
    app = new_app(settings, topics.LIVE, ownership)
    count = partial(
        count_measurements,
        ownership=ownership,
        partitions=settings.partitions,
        retention_ms=int(settings.live_hours * 3_600_000),
    )
    obey = partial(
        obey_commands,
        ownership=ownership,
        partitions=settings.partitions,
        end_of=ends.end,
        seal=lambda client, subscription: box.fresh(client, subscription)[1],
        opens=box.opens,
        url_refusal=partial(refusal, allow=settings.allow),
    )
    measurements = source(app, topics.MEASUREMENTS)
    commands = source(app, topics.SUBSCRIPTION_COMMANDS)
    app.agent(measurements, name="count_measurements")(bind("live", count, fatal))
    app.agent(commands, name="obey_commands")(bind("live", obey, fatal))
    app.closing.append(ends.stop)
    return app


def run_worker(settings: Settings) -> int:
    """Run the roles that exist in this process until it is told to stop."""
    crash.arm(settings.crash_at)
    app = create_live(settings)
    mode.Worker(app, loglevel=settings.log_level, redirect_stdouts=False).execute_from_commandline()
    return 0
