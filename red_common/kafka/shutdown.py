"""Bounded shutdown of aiokafka clients, whose own shutdown waits for a broker that may be dead.

Some of those waits survive their cancellation, so these functions return without them.
"""

import asyncio
import logging
from collections.abc import Awaitable, Iterable
from typing import Any, Final

from red_common.kafka.connection import Client, Producer

log = logging.getLogger(__name__)

SECONDS: Final = 1.0  # that a shutdown may take


async def ended(ending: Awaitable[Any], seconds: float = SECONDS) -> bool:
    """Awaits `ending` for up to `seconds`; True if it finished, even if it failed.

    What has not finished by then is cancelled and left behind. Never raises its error.
    """
    task = asyncio.ensure_future(ending)
    try:
        await asyncio.wait([task], timeout=seconds)
    finally:
        if not task.done():
            task.cancel()
    return _all_done([task])


async def abandon(producer: Producer) -> None:
    """Closes a producer without the flush of `stop()`, which would wait forever for a dead broker.

    Records not yet sent are lost; an open transaction stays open until it times out or a producer with
    the same transactional id starts. Never raises.
    """
    producer._closed = True
    disconnect(producer.client)  # else the sender would wait for its requests in flight
    tasks = [task for task in (producer._sender.sender_task, producer.client._sync_task) if task is not None]
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=SECONDS)
    if not _all_done(tasks):
        log.warning("abandoned a producer whose tasks did not end within %g s", SECONDS)


def disconnect(client: Client) -> None:
    """Closes every connection, which fails the requests in flight; the next request opens a new one."""
    for connection in list(client._conns.values()):
        connection.close()


def _all_done(tasks: Iterable["asyncio.Future[Any]"]) -> bool:
    done = [task for task in tasks if task.done()]
    for task in done:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.debug("a client ended with %r", error)
    return len(done) == len(list(tasks))
