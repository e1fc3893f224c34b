"""RED put together: keys followed, decoders started, images measured, stored and published."""

import asyncio
import logging
import signal
import time
from collections.abc import Awaitable
from contextlib import AsyncExitStack

from aiohttp import web

from red_service import metrics
from red_service.clients import TOPIC as API_KEYS
from red_service.clients import Follower, Keyring
from red_service.decoding import DecoderPool, Limits
from red_service.http import Check, Http
from red_service.ids import uuid7
from red_service.measuring import Measuring
from red_service.middleware import access, origins, problems
from red_service.publishing import KafkaUnavailable, Publisher
from red_service.settings import Settings
from red_service.storage import ImageStore, StorageError, open_store

log = logging.getLogger(__name__)

CHECK_SECONDS = 3.0
STOP_SECONDS = 6.0


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
    async with AsyncExitStack() as stack:
        try:
            await _open(settings, stack)
        except (KafkaUnavailable, StorageError) as error:
            raise CannotStart(str(error)) from error
        log.info("RED listens on http://%s:%d", settings.host, settings.port)
        await stopping.wait()
        log.info("stopping")


async def _open(settings: Settings, stack: AsyncExitStack) -> None:
    publisher = Publisher(settings.bootstrap)
    stack.push_async_callback(publisher.stop)
    await publisher.start(settings.kafka_wait)
    keyring = Keyring()
    keys = Follower(settings.bootstrap, API_KEYS, keyring.apply)
    stack.push_async_callback(keys.stop)
    await keys.start()
    store = ImageStore(open_store(settings.storage, settings.data))
    await store.probe()
    pool = DecoderPool(
        settings.workers,
        Limits(seconds=settings.decode_seconds),
        on_restart=lambda reason: metrics.WORKER_RESTARTS.labels(reason).inc(),
    )
    stack.push_async_callback(pool.stop)
    await pool.start()

    async def followed() -> str | None:
        metrics.KEYS_FOLLOWED.set(keys.is_current)
        return None if keys.is_current else "API keys stay as last known"

    measuring = Measuring(pool, store, publisher, now=time.time, new_id=uuid7)
    checks: dict[str, Check] = {
        "kafka": lambda: _words(publisher.check()),
        "storage": lambda: _words(store.probe()),
        "api_keys": followed,
    }
    http = Http(measuring, store, checks, metrics_public=settings.metrics_public)
    application = web.Application(
        middlewares=[
            origins(settings.origins),
            problems,
            access(keyring, lambda: keys.running),
        ]
    )
    application.add_routes(http.routes())
    runner = web.AppRunner(
        application,
        access_log=None,
        auto_decompress=False,
        shutdown_timeout=STOP_SECONDS,
        keepalive_timeout=75,
        lingering_time=2,
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
