"""Puts RED together: API keys, decoders, image store, publishers and the HTTP server."""

import asyncio
import gc
import logging
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from aiohttp import web

from red_common.api_keys import TOPIC as API_KEYS
from red_common.api_keys import Keyring
from red_common.kafka.audit_log import AuditWriter
from red_common.kafka.connection import KafkaError
from red_common.kafka.follower import Follower
from red_common.kafka.refusals import why_failed
from red_common.rate_limits import RateLimits
from red_common.refusal_pacing import RefusalPacing
from red_common.secret_keys import SecretKeyError, load_keys
from red_common.web.auth import authentication
from red_common.web.clients import known_clients
from red_common.web.errors import problems
from red_common.web.more_headers import more_headers
from red_common.web.runner import Runner
from red_service import metrics
from red_service.decoding.pool import DecoderPool, Limits
from red_service.disk_reserve import DiskReserve
from red_service.erasure import Erasure
from red_service.idempotency.publisher import TransactionalPublisher
from red_service.idempotency.requests import IdempotentRequests
from red_service.idempotency.store import IntentStore
from red_service.image_ids import uuid7
from red_service.image_store import ImageStore, StorageError, SyncObject, open_store, sync_file
from red_service.pipeline import MeasurementPipeline
from red_service.publisher import KafkaUnavailable, Publisher
from red_service.redness import kernel
from red_service.settings import Settings
from red_service.web.auth import is_public
from red_service.web.body_memory import BodyMemory
from red_service.web.health import Check, Health
from red_service.web.images import Images
from red_service.web.middleware import origins
from red_service.web.openapi import openapi_routes

log = logging.getLogger(__name__)

CHECK_SECONDS = 3.0
STOP_SECONDS = 6.0
SWEEP_EVERY = 3600.0
RECOUNT_EVERY = 60.0
SWEPT_AFTER = timedelta(days=7)
GC_THRESHOLDS = (50_000, 20, 100)  # collect rarely: each pause of milliseconds shows in the p99


class CannotStart(Exception):
    """Raised when RED cannot start; the text says what to do."""


async def serve(settings: Settings) -> None:
    """Serves until SIGINT or SIGTERM; requests in progress are answered first, within STOP_SECONDS.

    Raises:
        CannotStart: Kafka or the image store is unavailable or refuses RED, there is no secret key, or the
            port is taken.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    gc.set_threshold(*GC_THRESHOLDS)
    async with AsyncExitStack() as stack:
        try:
            await _open(settings, stack)
        except (KafkaUnavailable, SecretKeyError, StorageError) as error:
            raise CannotStart(str(error)) from error
        except KafkaError as error:
            why = await why_failed(settings.connection, error)
            where = settings.connection
            raise CannotStart(why or f"Kafka at {where} cannot be used ({error})") from error
        gc.collect()
        gc.freeze()  # what is loaded by now is never garbage
        log.info("RED is listening on %s://%s:%d", settings.scheme, settings.host, settings.port)
        await stopping.wait()
        log.info("RED is stopping")


async def _open(settings: Settings, stack: AsyncExitStack) -> None:
    secret_keys = load_keys(settings.data, settings.secret_key)
    publisher = Publisher(settings.connection, now=time.time)
    stack.push_async_callback(publisher.stop)
    await publisher.start(settings.kafka_wait)
    audit = AuditWriter(settings.connection, now=time.time)
    await stack.enter_async_context(audit.written())
    keyring = Keyring(secret_keys)
    keys = Follower(settings.connection, API_KEYS, keyring.apply)
    stack.push_async_callback(keys.stop)
    await keys.start()
    objects = open_store(settings.storage, settings.data)
    store = ImageStore(objects, sync=_sync_for(settings), quota=settings.image_quota, erased=keyring.erased)
    reserve = DiskReserve(_disks(settings), settings.disk_reserve, now=time.monotonic)
    await store.probe()
    pool = await _decoders(settings, stack)
    transactional = TransactionalPublisher(settings.connection, f"red-keyed-{settings.instance or uuid7()}")
    stack.push_async_callback(transactional.stop)
    if settings.instance:
        await transactional.fence(transactional.transactional_id)
    memory, intents = BodyMemory(settings.bodies), IntentStore(objects)
    pipeline = MeasurementPipeline(
        pool,
        store,
        publisher,
        now=time.time,
        new_id=uuid7,
        check_disk=reserve.check,
        together=settings.workers,
    )
    idempotent = IdempotentRequests(
        pipeline,
        intents,
        transactional,
        lease=timedelta(seconds=settings.key_lease),
        now=lambda: datetime.now(UTC),
    )
    limits = RateLimits("images", settings.rate, settings.rate_burst or 2 * settings.rate, time.monotonic)
    sweeping = asyncio.create_task(_sweep(intents), name="sweep old keyed requests")
    stack.callback(sweeping.cancel)
    recounting = asyncio.create_task(_recount(store), name="recount images of clients")
    stack.callback(recounting.cancel)

    erasure = Erasure(keyring.erased, store, intents, audit.count)
    erasing = asyncio.create_task(erasure.run(), name="erase clients")
    stack.callback(erasing.cancel)

    async def disk_problem() -> str | None:
        return reserve.failure()

    async def keys_problem() -> str | None:
        return None if keys.is_current else "Kafka is unreachable; API keys stay as last known"

    def update_gauges() -> None:
        metrics.KEYS_FOLLOWED.set(keys.is_current)
        metrics.KEYS_IGNORED.set(keyring.ignored)
        metrics.QUEUE.set(pool.waiting)
        metrics.BODIES.set(memory.held)
        metrics.DISK_FREE.set(reserve.free)

    if settings.servers > 1:  # /metrics of another server shows what is written down here
        keeping = asyncio.create_task(_every_second(update_gauges), name="update gauges")
        stack.callback(keeping.cancel)

    checks: dict[str, Check] = {
        "kafka": lambda: _failure_of(publisher.check()),
        "storage": lambda: _failure_of(store.probe()),
        "disk": disk_problem,
        "api_keys": keys_problem,
    }
    application = web.Application(
        middlewares=[
            known_clients(settings.proxies),
            origins(settings.origins),
            more_headers,
            problems(),
            authentication(keyring, is_known=lambda: keys.running, is_public=is_public, note=audit.count),
        ]
    )
    pacing = RefusalPacing(time.monotonic)
    application.add_routes(Images(pipeline, idempotent, store, limits, pacing, memory).routes())
    health = Health(checks, update_gauges=update_gauges, metrics_public=settings.metrics_public)
    application.add_routes(health.routes())
    application.add_routes(openapi_routes())
    await _listen(settings, application, stack)


async def _decoders(settings: Settings, stack: AsyncExitStack) -> DecoderPool:
    log.info("counting with %s", await asyncio.to_thread(kernel.build_and_describe))
    pool = DecoderPool(
        settings.workers,
        Limits(seconds=settings.decode_seconds),
        queue_seconds=settings.queue_seconds,
        on_restart=lambda reason: metrics.WORKER_RESTARTS.labels(reason).inc(),
    )
    stack.push_async_callback(pool.stop)
    await pool.start()
    return pool


def _sync_for(settings: Settings) -> SyncObject | None:
    """Syncs an object of the local folder to disk; None unless RED_STORAGE_FSYNC asks for it."""
    if not settings.storage_fsync or settings.storage is not None:
        return None
    return partial(sync_file, settings.data / "images")


def _disks(settings: Settings) -> list[Path]:
    """Folders whose disks RED fills: its images, and those of an embedded Kafka."""
    kafka = settings.data / "kafka"
    images = [settings.data / "images"] if settings.storage is None else []
    return [*images, kafka] if kafka.exists() else images


async def _recount(store: ImageStore) -> None:
    """Count the images of clients again and again, in a hundredth of the time."""
    while True:
        started = time.monotonic()
        await store.recount()
        await asyncio.sleep(max(RECOUNT_EVERY, 99 * (time.monotonic() - started)))


async def _sweep(intents: IntentStore) -> None:
    """Every SWEEP_EVERY seconds, remove what is stored about keyed requests older than SWEPT_AFTER."""
    while True:
        try:
            await intents.sweep(datetime.now(UTC) - SWEPT_AFTER)
        except StorageError as error:
            log.warning("could not remove old keyed requests, next try in %g s: %s", SWEEP_EVERY, error)
        await asyncio.sleep(SWEEP_EVERY)


async def _every_second(work: Callable[[], None]) -> None:
    while True:
        work()
        await asyncio.sleep(1)


async def _listen(settings: Settings, application: web.Application, stack: AsyncExitStack) -> None:
    runner = Runner(
        application,
        max_connections=settings.connections,
        certificate=settings.open_certificate(),
        keepalive_timeout=settings.idle_seconds,
        auto_decompress=False,
        shutdown_timeout=STOP_SECONDS,
    )
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    try:
        together = settings.servers > 1
        await web.TCPSite(runner, settings.host, settings.port, reuse_port=together).start()
    except OSError as error:
        where = f"{settings.host}:{settings.port}"
        raise CannotStart(f"cannot listen on {where}: {error.strerror}; set RED_HOST or RED_PORT") from error


async def _failure_of(check: Awaitable[None]) -> str | None:
    """Why the check failed, None if it passed within CHECK_SECONDS."""
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await check
    except (KafkaUnavailable, StorageError, TimeoutError) as error:
        return str(error) or f"no answer within {CHECK_SECONDS:g} s"
    return None
