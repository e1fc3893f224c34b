"""Runs the Faust apps of a process under one mode worker until SIGTERM or Ctrl-C."""

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final

import mode

from red_stats.faust.app import StatsApp, enter_with_retries
from red_stats.faust.batch_consumer import BatchConsumer
from red_stats.faust.loaded_table import LoadedTable
from red_stats.faust.role import Fatal, Resource

log = logging.getLogger(__name__)

STOP_SECONDS: Final = 9


async def only_away(error: Exception) -> None:
    """What `refused` says of a Kafka without locks."""


class Worker(mode.Worker):
    """Opens what its apps share, starts them side by side, and closes it after them.

    Started one after the other, each app would wait until those before it had loaded their state.
    """

    def __init__(
        self,
        *apps: StatsApp,
        shared: Sequence[Resource],
        fatal: Fatal,
        refused: Callable[[Exception], Awaitable[str | None]] = only_away,
        **options: Any,
    ) -> None:
        super().__init__(*apps, **options)
        self._shared, self._fatal, self._refused = shared, fatal, refused
        self._exit_stack = AsyncExitStack()

    async def on_start(self) -> None:
        """Open what the roles share, then start all of them at once."""
        await super().on_start()
        for resource in self._shared:
            await enter_with_retries(
                self._exit_stack, resource, "worker", lambda: self.should_stop, self._fatal, self._refused
            )
        if not self.should_stop:  # else the roles would start without what they share
            await asyncio.gather(*(app.maybe_start() for app in self.services))

    async def on_shutdown(self) -> None:
        """Close what the roles share, once every role has ended."""
        await super().on_shutdown()
        await self._exit_stack.aclose()

    def _schedule_shutdown(self, signal: signal.Signals) -> None:
        """Stop in order; after STOP_SECONDS (a rebalance, Kafka away) end at once, which loses nothing."""
        late = threading.Timer(STOP_SECONDS, _end_late)
        late.daemon = True
        late.start()
        super()._schedule_shutdown(signal)

    async def _sentinel_task(self) -> None:
        """Do nothing: mode would give the loop a second to end, and the process ends right after anyway."""


def _end_late() -> None:
    log.warning("still stopping after %d s: ending at once", STOP_SECONDS)
    logging.shutdown()
    os._exit(0)


def quiet_libraries() -> None:
    """Log only warnings of libraries; mode logs every service's start under the module of its class."""
    ours = (StatsApp, BatchConsumer, LoadedTable, Worker)
    for name in ("faust", "mode", "aiokafka", *(kind.__module__ for kind in ours)):
        logging.getLogger(name).setLevel(logging.WARNING)


def run(make: Callable[[], Worker]) -> int:
    """Run a worker until SIGTERM or Ctrl-C; returns its exit code."""
    try:
        make().execute_from_commandline()
    except SystemExit as exited:
        return exited.code if isinstance(exited.code, int) else 1 if exited.code else 0
    return 0
