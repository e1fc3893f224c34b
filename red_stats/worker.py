"""One process: the Faust apps of its roles under one mode worker, until it is told to stop."""

import logging
import os
import sys

import mode

from red_stats import crash
from red_stats.app import create_apps
from red_stats.settings import Settings

# mode tells of every service that starts, in the name of the module of its class
CHATTY = (
    "faust",
    "mode",
    "aiokafka",
    "red_stats.adapters.faust_app",
    "red_stats.adapters.batching",
    "red_stats.tables.faust_table",
)


def run_worker(settings: Settings, roles: tuple[str, ...]) -> None:
    """Run until SIGTERM or Ctrl-C; never returns."""
    crash.arm(settings.crash_at)
    settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    apps = create_apps(settings, roles)
    if settings.log_level != "DEBUG":
        for chatty in CHATTY:
            logging.getLogger(chatty).setLevel(logging.WARNING)
    worker = mode.Worker(*apps, loglevel=settings.log_level, redirect_stdouts=False)
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
