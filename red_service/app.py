"""RED put together: keys followed, decoders started, images measured, stored and published."""

import asyncio
import gc
import logging
import signal
import time
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from functools import partial

from aiohttp import web

from red_common.api_keys import TOPIC as API_KEYS
from red_common.api_keys import Keyring
from red_common.kafka.follower import Follower
from red_common.web.auth import authentication
from red_common.web.errors import problems
from red_service import metrics
from red_service.decoding.pool import DecoderPool, Limits
from red_service.idempotency.publisher import KeyedPublisher
from red_service.idempotency.requests import Keyed
from red_service.idempotency.store import IntentStore
from red_service.image_ids import uuid7
from red_service.image_store import ImageStore, StorageError, Synced, open_store, sync_file
from red_service.pipeline import Measuring
from red_service.publisher import KafkaUnavailable, Publisher
from red_service.rate_limits import Rates, Refusals
from red_service.redness import kernel
from red_service.settings import Settings
from red_service.web.auth import is_public
from red_service.web.health import Check, Health
from red_service.web.images import Http
from red_service.web.middleware import origins
from red_service.web.openapi import documents
from red_service.web.uploads import BodyMemory

log = logging.getLogger(__name__)

BURST, BURSTS_A_SECOND = 16.0, 1.0  # images at once beyond what the decoders have time for, by client
CHECK_SECONDS = 3.0
STOP_SECONDS = 6.0
LINGER_SECONDS = 10.0  # for the rest of a body that was refused: a reset could overtake the answer
SWEEP_EVERY = 3600.0
SWEPT_AFTER = timedelta(days=7)
GC_THRESHOLDS = (50_000, 20, 100)  # a pause of milliseconds now and then would be some images' p99


class CannotStart(Exception):
    """Raised when RED cannot be used; the text says what to do."""


async def serve(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM; requests under way are answered.

    Raises:
        CannotStart: Kafka, the store or the port cannot be had.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    gc.set_threshold(*GC_THRESHOLDS)
    async with AsyncExitStack() as stack:
        try:
            await _open(settings, stack)
        except (KafkaUnavailable, StorageError) as error:
            raise CannotStart(str(error)) from error
        gc.collect()
        gc.freeze()  # what is loaded by now stays
        log.info("RED listens on http://%s:%d", settings.host, settings.port)
        await stopping.wait()
        log.info("stopping")


async def _open(settings: Settings, stack: AsyncExitStack) -> None:
    publisher = Publisher(settings.connection, now=time.time)
    stack.push_async_callback(publisher.stop)
    await publisher.start(settings.kafka_wait)
    keyring = Keyring()
    keys = Follower(settings.connection, API_KEYS, keyring.apply)
    stack.push_async_callback(keys.stop)
    await keys.start()
    objects = open_store(settings.storage, settings.data)
    store = ImageStore(objects, synced=_synced(settings))
    await store.probe()
    pool = await _decoders(settings, stack)
    keyed_publisher = KeyedPublisher(settings.connection, f"red-keyed-{settings.instance or uuid7()}")
    stack.push_async_callback(keyed_publisher.stop)
    if settings.instance:
        await keyed_publisher.fence(keyed_publisher.transactional_id)
    memory, intents = BodyMemory(settings.body_memory), IntentStore(objects)
    bursts = Rates(BURSTS_A_SECOND, BURST, time.monotonic)
    measuring = Measuring(
        pool, store, publisher, now=time.time, new_id=uuid7, together=settings.workers, bursts=bursts
    )
    keyed = Keyed(
        measuring,
        intents,
        keyed_publisher,
        lease=timedelta(seconds=settings.key_lease),
        now=lambda: datetime.now(UTC),
    )
    rates = Rates(settings.rate, settings.rate_burst or 2 * settings.rate, time.monotonic)
    sweeping = asyncio.create_task(_sweep(intents), name="sweep keyed requests")
    stack.callback(sweeping.cancel)

    async def followed() -> str | None:
        return None if keys.is_current else "API keys stay as last known"

    def gauge() -> None:
        metrics.KEYS_FOLLOWED.set(keys.is_current)
        metrics.QUEUE.set(len(pool.waiting))
        metrics.BODIES.set(memory.held)

    checks: dict[str, Check] = {
        "kafka": lambda: _words(publisher.check()),
        "storage": lambda: _words(store.probe()),
        "api_keys": followed,
    }
    application = web.Application(
        middlewares=[
            origins(settings.origins),
            problems(),
            authentication(keyring, is_known=lambda: keys.running, is_public=is_public),
        ]
    )
    refusals = Refusals(time.monotonic)
    application.add_routes(Http(measuring, keyed, store, rates, refusals, memory).routes())
    application.add_routes(Health(checks, gauge=gauge, metrics_public=settings.metrics_public).routes())
    application.add_routes(documents())
    await _listen(settings, application, stack)


async def _decoders(settings: Settings, stack: AsyncExitStack) -> DecoderPool:
    log.info("counting with %s", await asyncio.to_thread(kernel.build_and_describe))
    pool = DecoderPool(
        settings.workers,
        Limits(seconds=settings.decode_seconds),
        on_restart=lambda reason: metrics.WORKER_RESTARTS.labels(reason).inc(),
    )
    stack.push_async_callback(pool.stop)
    await pool.start()
    return pool


def _synced(settings: Settings) -> Synced | None:
    """Waits until an object of the local folder is on the disk, when that is asked for."""
    if not settings.storage_fsync or settings.storage is not None:
        return None
    return partial(sync_file, settings.data / "images")


async def _sweep(intents: IntentStore) -> None:
    """Now and then remove keyed requests that are long forgotten."""
    while True:
        try:
            await intents.sweep(datetime.now(UTC) - SWEPT_AFTER)
        except StorageError as error:
            log.warning("old keyed requests could not be removed: %s", error)
        await asyncio.sleep(SWEEP_EVERY)


async def _listen(settings: Settings, application: web.Application, stack: AsyncExitStack) -> None:
    runner = web.AppRunner(
        application,
        access_log=None,
        auto_decompress=False,
        shutdown_timeout=STOP_SECONDS,
        keepalive_timeout=settings.idle_seconds,
        lingering_time=LINGER_SECONDS,
    )
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    try:
        await web.TCPSite(runner, settings.host, settings.port).start()
    except OSError as error:
        where = f"{settings.host}:{settings.port}"
        raise CannotStart(f"cannot listen on {where}: {error.strerror}; set RED_PORT") from error


async def _words(check: Awaitable[None]) -> str | None:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await check
    except (KafkaUnavailable, StorageError, TimeoutError) as error:
        return str(error) or "no answer"
    return None
