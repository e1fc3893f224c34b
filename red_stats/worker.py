"""One process: the Faust apps of its roles under one mode worker, until it is told to stop."""

import asyncio
import gc
import logging
import os
import signal
import sys
import threading

import mode
import uvloop

from red_common import failpoints
from red_common.log_throttle import hear_libraries_seldom
from red_stats.app import create_apps
from red_stats.kafka import scanner
from red_stats.settings import Settings

log = logging.getLogger(__name__)

# Unpacked records are garbage-collected objects that live for a batch: with the default thresholds
# the collector walks the whole heap many times a second and takes half the speed of role live.
GC_THRESHOLDS = (100_000, 50, 1000)
STOP_SECONDS = 9

# mode tells of every service that starts, in the name of the module of its class
CHATTY = (
    "faust",
    "mode",
    "aiokafka",
    "red_stats.faust.app",
    "red_stats.faust.batch_consumer",
    "red_stats.faust.loaded_table",
    "red_stats.worker",
)


class Roles(mode.Worker):
    """Starts its apps side by side: one after the other each would wait for the state of those before."""

    def _schedule_shutdown(self, signal: signal.Signals) -> None:
        """An orderly end; a hard one if a rebalance or Kafka's absence holds it up: nothing is lost by it."""
        late = threading.Timer(STOP_SECONDS, _end_late)
        late.daemon = True
        late.start()
        super()._schedule_shutdown(signal)

    async def on_start(self) -> None:
        """Every role at once."""
        await super().on_start()
        hear_libraries_seldom()
        await asyncio.gather(*(app.maybe_start() for app in self.services))

    async def _sentinel_task(self) -> None:
        """Nothing: mode gives the loop a second to end, and the process ends right after it."""


def _end_late() -> None:
    log.warning("still stopping after %d s: ending at once", STOP_SECONDS)
    logging.shutdown()
    os._exit(0)


def run_worker(settings: Settings, roles: tuple[str, ...]) -> None:
    """Run until SIGTERM or Ctrl-C; never returns."""
    failpoints.arm(settings.crash_at)
    uvloop.install()
    gc.set_threshold(*GC_THRESHOLDS)
    settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    reader = scanner.told()  # builds it, where nobody has
    apps = create_apps(settings, roles)
    gc.freeze()  # what is loaded by now stays
    if settings.log_level != "DEBUG":
        for chatty in CHATTY:
            logging.getLogger(chatty).setLevel(logging.WARNING)
    if scanner.load() is None:
        print(f"worker: measurements are read by {reader}", file=sys.stderr)
    worker = Roles(*apps, loglevel=settings.log_level, redirect_stdouts=False)
    code: int | str | None = 0
    try:
        worker.execute_from_commandline()
    except SystemExit as exited:
        code = exited.code
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    # chDB's threads and idle executors have nothing left to save; waiting for them can take seconds
    os._exit(code if isinstance(code, int) else 1 if code else 0)
