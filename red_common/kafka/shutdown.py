"""Ends of what aiokafka has begun, bounded in time: its own wait for answers of a Kafka that was killed.

A wait there can also outlive its cancellation, so these go on without what does not end.
"""

import asyncio
import logging
from collections.abc import Awaitable, Iterable
from typing import Any, Final

from red_common.kafka.connection import Client, Producer

log = logging.getLogger(__name__)

SECONDS: Final = 1.0


async def ended(ending: Awaitable[Any], seconds: float = SECONDS) -> bool:
    """Whether it ended in time; what does not is cancelled and left, and what fails has ended."""
    task = asyncio.ensure_future(ending)
    try:
        await asyncio.wait([task], timeout=seconds)
    finally:
        if not task.done():
            task.cancel()
    return _all_done([task])


async def abandon(producer: Producer) -> None:
    """Close without the flush of stop(), which waits for ever for a Kafka that is gone; never raises."""
    producer._closed = True
    disconnect(producer.client)  # the sender waits for requests under way
    tasks = [task for task in (producer._sender.sender_task, producer.client._sync_task) if task is not None]
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=SECONDS)
    if not _all_done(tasks):
        log.warning("a producer is left behind that does not end")


def disconnect(client: Client) -> None:
    """Fails the requests under way; the next one opens a new connection."""
    for connection in list(client._conns.values()):
        connection.close()


def _all_done(tasks: Iterable["asyncio.Future[Any]"]) -> bool:
    done = [task for task in tasks if task.done()]
    for task in done:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.debug("ended with %r", error)
    return len(done) == len(list(tasks))
