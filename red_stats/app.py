"""The composition root: three roles, each a Faust app; reads top to bottom as the data flows."""

import asyncio
import logging
import os
import random
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

from red_common.kafka.end_offsets import LogEnds
from red_common.kafka.patches import header_keys, transaction_backoff
from red_common.kafka.patches.zero_copy_receive import receive_in_place
from red_stats import topics
from red_stats.agents.commands import obey_commands
from red_stats.agents.counting import count_measurements
from red_stats.agents.deliveries import enqueue_deliveries, settle
from red_stats.delivery.attempt import Posting
from red_stats.delivery.dispatcher import Dispatcher
from red_stats.delivery.webhook_client import Poster
from red_stats.domain import recorded_tables
from red_stats.domain.urls import refusal
from red_stats.faust.agent import bind, bind_recorder
from red_stats.faust.app import StatsApp, new_app, serve, source
from red_stats.faust.batch_consumer import Patience
from red_stats.replay.rebuild_live import LiveReplay
from red_stats.replay.restore_lost_state import mend
from red_stats.resources import Parts
from red_stats.settings import Settings
from red_stats.store.query_server import StoreServer
from red_stats.store.recorder import Recorder
from red_stats.store.sink import Sink
from red_stats.tables.alert_sequences import SequenceRows
from red_stats.tables.command_results import AnswerRows
from red_stats.tables.partition_state import NoRows, Ownership, TableSpec
from red_stats.tables.pending_deliveries import PendingRows
from red_stats.tables.subscriptions import ThresholdRows
from red_stats.tables.windows import WindowRows
from red_stats.web.rebuild import rebuild_record
from red_stats.web.server import routes_of_api, routes_of_health

log = logging.getLogger(__name__)

ROLES = ("live", "deliver", "record")
RECORDED = {
    topics.MEASUREMENTS: recorded_tables.MEASUREMENTS,
    topics.ALERTS: recorded_tables.ALERTS,
    topics.DELIVERIES: recorded_tables.DELIVERIES,
}
Fatal = Callable[[str], NoReturn]


def die(reason: str) -> NoReturn:
    """End the process at once: after a fence or a failed fold nothing more may be written."""
    log.critical("stopping: %s", reason)
    logging.shutdown()
    os._exit(70)


def create_live(parts: Parts, *, fatal: Fatal = die) -> StatsApp:
    """Role live: measurements -> counts and alerts, commands -> thresholds and answers."""
    settings = parts.settings
    ends = LogEnds(settings.connection)
    tables = [
        TableSpec("windows", topics.WINDOWS_CHANGELOG, WindowRows),
        TableSpec("alert_sequences", topics.ALERT_SEQUENCES_CHANGELOG, SequenceRows),
        TableSpec("thresholds", topics.SUBSCRIPTIONS, ThresholdRows, parts.directory.lists_of),
        TableSpec("answers", topics.ANSWERS_CHANGELOG, AnswerRows),
    ]
    ownership = Ownership(settings.connection, topics.LIVE, tables, fatal=fatal)
    parts.ownerships["live"] = ownership
    retention_ms = int(settings.live_hours * 3_600_000)
    replay = partial(
        LiveReplay, ownership, connection=settings.connection, partitions=settings.partitions,
        retention_ms=retention_ms,
    )  # fmt: skip
    ownership.on_owned.append(
        partial(mend, ownership=ownership, connection=settings.connection, new_replay=replay)
    )
    app = new_app(settings, topics.LIVE, ownership)
    count = partial(
        count_measurements,
        ownership=ownership,
        read=parts.log_reader.readings,
        retention_ms=retention_ms,
    )
    obey = partial(
        obey_commands,
        ownership=ownership,
        partitions=settings.partitions,
        end_of=ends.end,
        seal=lambda client, subscription: parts.box.fresh(client, subscription)[1],
        opens=parts.box.opens,
        url_refusal=partial(refusal, allow=settings.allow),
    )
    app.agent(source(app, topics.MEASUREMENTS), name="count_measurements")(bind("live", count, app, fatal))
    app.agent(source(app, topics.SUBSCRIPTION_COMMANDS), name="obey_commands")(bind("live", obey, app, fatal))
    app.closing.append(ends.stop)
    return app


def create_deliver(parts: Parts, *, fatal: Fatal = die) -> StatsApp:
    """Role deliver: alerts and tasks -> pending rows -> signed POSTs -> red.deliveries."""
    settings = parts.settings
    tables = [TableSpec("pending", topics.PENDING_CHANGELOG, PendingRows)]
    ownership = Ownership(settings.connection, topics.DELIVER, tables, fatal=fatal)
    parts.ownerships["deliver"] = ownership
    app = new_app(settings, topics.DELIVER, ownership)
    posting = Posting(
        directory=parts.directory,
        new_poster=lambda: Poster(settings.allow, seconds=settings.webhook_timeout),
        open_secret=parts.box.open,
        now=time.time,
        jitter=random.random,
    )
    dispatcher = Dispatcher(
        ownership=ownership,
        directory=parts.directory,
        posting=posting,
        settle=partial(settle, ownership=ownership, schedule=settings.schedule),
        schedule=settings.schedule,
        partition_of=parts.partition_of,
        now=time.time,
        jitter=random.random,
    )
    ownership.on_owned.append(dispatcher.take)
    ownership.on_lost.append(dispatcher.forget)
    parts.directory.on_change = dispatcher.changed
    enqueue = partial(enqueue_deliveries, ownership=ownership, begin=dispatcher.begin, push=dispatcher.push)
    app.agent(source(app, topics.ALERTS), name="enqueue_alerts")(bind("deliver", enqueue, app, fatal))
    app.agent(source(app, topics.DELIVERY_TASKS), name="enqueue_tasks")(bind("deliver", enqueue, app, fatal))
    app.opening.append(parts.open_directory)
    app.closing = [parts.directory.follower.stop, *app.closing, dispatcher.stop]
    return app


def create_record(parts: Parts, *, fatal: Fatal = die) -> StatsApp:
    """Role record: measurements, alerts, deliveries -> the three ClickHouse tables."""
    settings, store = parts.settings, parts.store
    assert store is not None, "role record has the store"
    tables = [TableSpec("marks", topics.RECORD_MARKS_CHANGELOG, NoRows)]
    ownership = Ownership(settings.connection, topics.RECORD, tables, fatal=fatal)
    parts.ownerships["record"] = ownership
    app = new_app(settings, topics.RECORD, ownership)
    app.patience = Patience(100, 64 << 10)  # what is inserted together may as well be fetched together
    for topic, recorded in RECORDED.items():
        recorder = Recorder(
            topic,
            recorded,
            Sink(store, recorded.table, recorded.empty, pause=time.sleep),
            ownership=ownership,
            partitions=settings.partitions,
            connection=settings.connection,
            writer=parts.writer,
            flow=app,
            scan=parts.log_reader.cut if topic == topics.MEASUREMENTS else None,
        )
        parts.recorders[topic] = recorder
        ownership.on_owned.append(recorder.take_over)
        ownership.on_lost.append(recorder.lose)
        app.agent(source(app, topic), name=f"record_{recorded.table}")(bind_recorder(recorder, fatal))
        app.closing.append(recorder.stop)
    app.go_on = lambda owned, topic: parts.recorders[topic].next_of(owned)
    server = StoreServer(store, settings.data, parts.readers, partial(rebuild_record, parts))

    async def open_store() -> None:
        await asyncio.get_running_loop().run_in_executor(parts.writer, store.open)
        await server.start()

    async def close_store() -> None:
        await server.stop()
        await asyncio.get_running_loop().run_in_executor(parts.writer, store.close)

    app.opening.append(open_store)
    app.closing.insert(0, close_store)
    return app


CREATE: dict[str, Callable[..., StatsApp]] = {
    "live": create_live,
    "deliver": create_deliver,
    "record": create_record,
}


def create_apps(settings: Settings, roles: tuple[str, ...], *, fatal: Fatal = die) -> list[StatsApp]:
    """The apps of one process; the first has the web server, the views wherever live is."""
    header_keys.accept_any()  # which also keeps the bytes of record batches, for the scanner
    receive_in_place()
    transaction_backoff.ask_soon()
    parts = Parts(settings, roles)
    apps = [CREATE[role](parts, fatal=fatal) for role in roles]
    web: Any = routes_of_api(parts, apps[0]) if "live" in roles else routes_of_health(parts, apps[0])
    serve(apps[0], settings, *web)
    return apps
