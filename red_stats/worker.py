"""`red-stats worker`: the roles of one process, set up and run."""

import asyncio
import contextlib
import gc
import logging
import os
import sys
from collections.abc import Iterator
from functools import partial
from typing import Final

import uvloop

from red_common import failpoints, open_files, process_log
from red_common.kafka.refusals import refusal, why_failed
from red_stats.app import create_process, die
from red_stats.faust.worker import Worker, quiet_libraries, run
from red_stats.kafka import scanner
from red_stats.settings import Settings

# Unpacked records are garbage-collected objects that live for a batch: with the default thresholds
# the collector walks the whole heap many times a second and takes half the speed of role live.
GC_THRESHOLDS: Final = (100_000, 50, 1000)
# What the folds wait for while a thread turns rows into objects, each time they have waited for anything.
SWITCH_SECONDS: Final = 0.0005


class Refused(Exception):
    """Raised when Kafka will not have this worker, whose clients would ask for ever; the text says why."""


@contextlib.contextmanager
def without_gc() -> Iterator[None]:
    """A load makes no garbage in cycles, and millions of objects to walk over again and again."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()  # the first of several that end, for all


def run_worker(settings: Settings, roles: tuple[str, ...]) -> None:
    """Run until SIGTERM or Ctrl-C; never returns.

    Raises:
        Refused: Kafka is there, and does not let this worker in.
        SecretKeyError: there is no secret key.
    """
    os.umask(0o077)  # what is written is for this user alone
    process_log.set_up(settings.log_level, settings.log_format)
    open_files.raise_limit()
    failpoints.arm(settings.crash_at)
    uvloop.install()
    gc.set_threshold(*GC_THRESHOLDS)
    sys.setswitchinterval(SWITCH_SECONDS)
    settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    refused = asyncio.run(refusal(settings.connection))
    if refused is not None:
        raise Refused(refused)
    reader = scanner.build_and_describe()
    apps, shared = create_process(settings, roles, loading=without_gc)
    gc.freeze()  # what is loaded by now stays
    if settings.log_level != "DEBUG":
        quiet_libraries()
    if scanner.load() is None:
        print(f"worker: measurements are read by {reader}", file=sys.stderr)
    refusing = partial(why_failed, settings.connection)
    # the log is ours already, and mode leaves it alone
    options = {"override_logging": False, "redirect_stdouts": False}
    code = run(lambda: Worker(*apps, shared=shared, fatal=die, refused=refusing, **options))
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    # chDB's threads and idle executors have nothing left to save; waiting for them can take seconds
    os._exit(code)
