"""Work on the store that goes on in the background, in a thread of its own."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from red_stats.store.clickhouse import StoreError

log = logging.getLogger(__name__)

Result = TypeVar("Result")


@contextlib.asynccontextmanager
async def in_background(
    work: Callable[[], Awaitable[object]],
    thread: ThreadPoolExecutor,
    *,
    interval: float,
    pause: float,
    failed: str,
) -> AsyncIterator[None]:
    """Does the work again and again, `interval` seconds apart, and `pause` seconds later when it has failed.

    `failed` is what is logged then. At the end it is cancelled, and what runs in the thread is waited for.
    """
    task = asyncio.create_task(_again_and_again(work, interval, pause, failed))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        thread.shutdown()


async def each(works: Iterable[Callable[[], Awaitable[Result]]]) -> list[Result]:
    """Do one after another, so that none that fails holds up the others.

    Raises:
        Exception: the first failure, once all have been done.
    """
    results, failures = [], []
    for work in works:
        try:
            results.append(await work())
        except Exception as error:
            failures.append(error)
    if failures:
        raise failures[0]
    return results


async def _again_and_again(
    work: Callable[[], Awaitable[object]], interval: float, pause: float, failed: str
) -> None:
    while True:
        await asyncio.sleep(interval)
        try:
            await work()
        except StoreError as error:
            log.warning("%s: %s", failed, error)
            await asyncio.sleep(pause)
        except Exception:  # nobody would start it again
            log.exception("%s", failed)
            await asyncio.sleep(pause)
