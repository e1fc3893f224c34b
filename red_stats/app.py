"""The composition root: three roles, each a Faust app; reads top to bottom as the data flows."""

import asyncio
import contextlib
import logging
import os
import random
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Final, NamedTuple, NoReturn

from red_common.kafka.connection import KafkaConnection, TopicPartition
from red_common.kafka.end_offsets import LogEnds
from red_stats import topics
from red_stats.agents.backlogs import refill
from red_stats.agents.commands import handle_commands
from red_stats.agents.counting import count_measurements
from red_stats.agents.deliveries import enqueue_deliveries, in_slices
from red_stats.agents.settling import settle
from red_stats.delivery.attempt import AttemptSender
from red_stats.delivery.connections import GuardedConnector
from red_stats.delivery.dispatcher import Dispatcher
from red_stats.delivery.webhook_client import WebhookClient
from red_stats.domain.record_batches import FetchSettings
from red_stats.domain.recorded_tables import RECORDED
from red_stats.domain.stalls import NOWHERE, Place
from red_stats.domain.urls import refusal
from red_stats.faust.app import StatsApp
from red_stats.faust.role import Fatal, Resource, Role
from red_stats.kafka.ever_subscribed import ever_subscribed
from red_stats.kafka.range_reader import read_in_steps
from red_stats.kafka.stall_watch import StallWatch
from red_stats.replay.rebuild_live import LiveReplay
from red_stats.replay.restore_lost_state import restore_lost_state
from red_stats.resources import Resources
from red_stats.settings import Settings
from red_stats.store.daily import Seals
from red_stats.store.eraser import Eraser
from red_stats.store.query_server import StoreServer
from red_stats.store.recorder import Recorder
from red_stats.store.sealer import Sealer
from red_stats.store.sink import Sink
from red_stats.tables.deliver import DeliverTables
from red_stats.tables.live import LiveTables
from red_stats.tables.partition_state import PartitionState, PartitionStates
from red_stats.tables.record import RecordTables
from red_stats.web.rebuild import rebuild_store
from red_stats.web.server import Api, health_site

log = logging.getLogger(__name__)

ROLES: Final = ("live", "deliver", "record")
READ_AT_ONCE: Final = 500  # records between two turns of the loop
Recorders = Mapping[str, Recorder]


class Process(NamedTuple):
    """The apps of one process, and what is opened before and closed after them."""

    apps: list[StatsApp]
    shared: list[Resource]


def die(reason: str) -> NoReturn:
    """End the process at once: after a fence or a failed fold nothing more may be written."""
    log.critical("stopping: %s", reason)
    logging.shutdown()
    os._exit(70)


def create_process(
    settings: Settings,
    roles: tuple[str, ...],
    *,
    fatal: Fatal = die,
    loading: Callable[[], AbstractContextManager[Any]] = contextlib.nullcontext,
) -> Process:
    """The apps of one process; the first has the web server, the views wherever live is."""
    resources = Resources(settings, roles, loading=loading)
    states = {role: _states(role, resources, fatal) for role in roles}
    recorders = _recorders(resources, states["record"]) if "record" in roles else {}
    ends = LogEnds(settings.connection)
    dispatcher = _dispatcher(resources, states["deliver"], ends) if "deliver" in roles else None
    declared: dict[str, Role[Any]] = {}
    watch = StallWatch(
        settings.connection, partial(_nexts, declared.values()), partial(_failures, states, recorders)
    )
    api = Api(resources, states, recorders, watch.stalls) if "live" in roles else None
    if api is not None:
        declared["live"] = _live(resources, states["live"], api)
    if dispatcher is not None:
        declared["deliver"] = _deliver(resources, states["deliver"], dispatcher, ends)
    if recorders:
        declared["record"] = _record(resources, states["record"], recorders)
    site = api.site() if api is not None else health_site(resources, states, watch.stalls)
    apps = [StatsApp(settings, declared[role], site=None if n else site) for n, role in enumerate(roles)]
    changed = dispatcher.on_subscription_changed if dispatcher is not None else lambda client_id: None
    shared: list[Resource] = [resources.keys.followed, api.audit.written] if api is not None else []
    shared.append(partial(resources.subscriptions_opened, changed))
    return Process(apps, [*shared, watch.watched])


def _nexts(roles: Iterable[Role[Any]]) -> dict[Place, int]:
    """Where every source partition goes on that is held, and neither being loaded nor paused on purpose.

    Changelogs that are being loaded are among them, at NOWHERE: what holds their ends back is worth knowing.
    """
    loading = {
        Place(role.states.role, changelog, number, -1): NOWHERE
        for role in roles
        for number in role.states.loading
        for changelog in role.states.changelogs.values()
    }
    return loading | {
        Place(role.states.role, topic, number, state.generation): role.resume_offset(state, topic)
        for role in roles
        for number, state in role.states.held.items()
        if state.generation == role.states.generation
        for topic in (*role.folds, *(topic for topic, one in role.recordings.items() if not one.is_paused))
    }


def _failures(states: Mapping[str, PartitionStates[Any]], recorders: Recorders) -> dict[tuple[str, int], str]:
    """Why what is under way in a partition does not succeed, by role and partition."""
    of_store = {("record", n): text for one in recorders.values() for n, text in one.failures.items()}
    return of_store | {
        (role, number): state.failure
        for role, of_role in states.items()
        for number, state in of_role.held.items()
        if state.failure is not None
    }


def _states(role: str, resources: Resources, fatal: Fatal) -> PartitionStates[Any]:
    tables: dict[str, Callable[[], Any]] = {
        "live": LiveTables,
        "deliver": DeliverTables,
        "record": RecordTables,
    }
    return PartitionStates(
        resources.settings.connection,
        role,
        tables[role],
        fatal=fatal,
        follow={"thresholds": resources.subscriptions.lists_of} if role == "live" else {},
        loading=resources.loading,
    )


def _live(resources: Resources, states: PartitionStates[LiveTables], api: Api) -> Role[LiveTables]:
    """Measurements -> counts and alerts, commands -> thresholds and results."""
    settings = resources.settings
    ends = LogEnds(settings.connection)
    retention_ms = int(settings.live_hours * 3_600_000)
    new_replay = partial(
        LiveReplay, states, connection=settings.connection, partitions=settings.partitions,
        retention_ms=retention_ms,
    )  # fmt: skip

    async def on_assigned(state: PartitionState[LiveTables]) -> None:
        await restore_lost_state(state, states=states, connection=settings.connection, new_replay=new_replay)
        await api.on_assigned(state.partition)

    count = partial(
        count_measurements, states=states, read=resources.log_reader.readings, retention_ms=retention_ms
    )
    handle = partial(
        handle_commands,
        states=states,
        partitions=settings.partitions,
        end_of=ends.end,
        seal=resources.box.fresh,
        opens=resources.box.opens,
        url_refusal=partial(refusal, allow=settings.allow),
        ever_subscribed=partial(ever_subscribed, settings.connection),
    )
    return Role(
        states,
        folds={topics.MEASUREMENTS: count, topics.SUBSCRIPTION_COMMANDS: handle},
        on_assigned=on_assigned,
        resources=[*api.resources(), ends.opened],
    )


def _dispatcher(resources: Resources, states: PartitionStates[DeliverTables], ends: LogEnds) -> Dispatcher:
    settings = resources.settings
    attempts = AttemptSender(
        subscriptions=resources.subscriptions,
        new_client=lambda: WebhookClient(GuardedConnector(settings.allow, seconds=settings.webhook_timeout)),
        open_secret=resources.box.open,
        now=time.time,
        jitter=random.random,
        new_challenge=partial(secrets.token_hex, 16) if settings.webhook_verify else None,
    )
    return Dispatcher(
        states=states,
        subscriptions=resources.subscriptions,
        attempts=attempts,
        settle=partial(
            settle,
            states=states,
            schedule=settings.schedule,
            find=resources.subscriptions.find,
            rules=settings.health_rules,
            subscriptions_of=resources.subscriptions.all_of,
            erased_of=resources.subscriptions.erased_of,
        ),
        refill=partial(refill, states=states),
        read_alerts=partial(_alerts_between, settings.connection),
        end_of=ends.end,
        limits=settings.row_limits,
        schedule=settings.schedule,
        partition_of=resources.partition_of,
        now=time.time,
        jitter=random.random,
    )


def _alerts_between(
    connection: KafkaConnection, partition: int, start: int, end: int
) -> AsyncGenerator[list[Any], None]:
    return read_in_steps(connection, TopicPartition(topics.ALERTS, partition), start, end, READ_AT_ONCE)


def _deliver(
    resources: Resources, states: PartitionStates[DeliverTables], dispatcher: Dispatcher, ends: LogEnds
) -> Role[DeliverTables]:
    """Alerts and tasks -> pending rows -> signed POSTs -> red.deliveries."""
    enqueue = partial(
        enqueue_deliveries,
        states=states,
        begin=dispatcher.begin,
        push=dispatcher.push,
        limits=resources.settings.row_limits,
        find=resources.subscriptions.find,
        until_known=resources.subscriptions.until_known,
        erased_of=resources.subscriptions.erased_of,
    )
    return Role(
        states,
        folds=dict.fromkeys((topics.ALERTS, topics.DELIVERY_TASKS), partial(in_slices, fold=enqueue)),
        on_assigned=dispatcher.on_assigned,
        on_revoked=dispatcher.on_revoked,
        resources=[ends.opened],
        stopping=[dispatcher.stop],
    )


def _recorders(resources: Resources, states: PartitionStates[RecordTables]) -> Recorders:
    settings, store = resources.settings, resources.store
    assert store is not None, "role record has the store"
    return {
        topic: Recorder(
            topic,
            recorded,
            Sink(store, recorded.table, recorded.empty, pause=time.sleep),
            states=states,
            partitions=settings.partitions,
            connection=settings.connection,
            writer=resources.writer,
            scan=resources.log_reader.columns if topic == topics.MEASUREMENTS else None,
            erased=resources.subscriptions,
        )
        for topic, recorded in RECORDED.items()
    }


def _record(
    resources: Resources, states: PartitionStates[RecordTables], recorders: Recorders
) -> Role[RecordTables]:
    """Measurements, alerts, deliveries -> the three ClickHouse tables."""
    store = resources.store
    assert store is not None, "role record has the store"
    rebuild = partial(rebuild_store, resources, states, recorders)
    server = StoreServer(store, resources.settings.data, resources.readers, resources.sql_readers, rebuild)

    subscriptions = resources.subscriptions
    sealer = Sealer(
        Seals(store), recorders[topics.MEASUREMENTS], lambda: states.held, subscriptions.erased_of
    )
    eraser = Eraser(
        store,
        recorders.values(),
        lambda: {n: (state.generation, subscriptions.erased(n)) for n, state in states.held.items()},
    )

    async def on_assigned(state: PartitionState[RecordTables]) -> None:
        for recorder in recorders.values():
            await recorder.take_over(state)

    def on_revoked(state: PartitionState[RecordTables]) -> None:
        for recorder in recorders.values():
            recorder.drop(state)

    @contextlib.asynccontextmanager
    async def opened() -> AsyncIterator[None]:
        await asyncio.get_running_loop().run_in_executor(resources.writer, store.open)
        try:
            await server.start()
            async with sealer.running(), eraser.running():
                yield
        finally:
            await server.stop()
            await asyncio.get_running_loop().run_in_executor(resources.writer, store.close)

    return Role(
        states,
        recordings={topic: recorders[topic] for topic in RECORDED},
        on_assigned=on_assigned,
        on_revoked=on_revoked,
        resume_offset=lambda state, topic: recorders[topic].resume_offset(state),
        fetch=FetchSettings(100, 64 << 10),  # what is inserted together may as well be fetched together
        resources=[opened],
        stopping=[recorder.stop for recorder in recorders.values()],
    )
