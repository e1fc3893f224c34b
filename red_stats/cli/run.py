"""`red-stats up`, `worker`, `red`: commands that run until they are stopped."""

import asyncio
import os
import sys

from red_stats.cli.base import app, fail


@app.command
def up() -> None:
    """Start Kafka, RED and the workers on this machine; Ctrl-C stops everything in order."""
    from red_common import open_files
    from red_stats.local.data_folder import Unusable, locked
    from red_stats.local.supervisor import supervise
    from red_stats.settings import load

    settings = load()
    os.umask(0o077)  # what is written is for this user alone
    open_files.raise_limit()

    def out(text: str) -> None:
        print(text, flush=True)

    def say(text: str) -> None:
        print(f"{'up':<7}| {text}", file=sys.stderr, flush=True)

    try:
        with locked(settings.data):
            asyncio.run(supervise(settings, out=out, say=say))
    except Unusable as error:
        fail(str(error))


@app.command
def worker(*, role: str = "all") -> None:
    """Run one role (live, deliver or record), several (live,record) or all, until SIGTERM or Ctrl-C."""
    from red_common.secret_keys import SecretKeyError
    from red_stats.app import ROLES
    from red_stats.settings import load
    from red_stats.worker import Refused, run_worker

    settings = load()
    wanted = set(ROLES if role == "all" else role.split(","))
    if unknown := wanted.difference(ROLES):
        fail(f"there is no role {min(unknown)!r}: use {', '.join(ROLES)}, several with commas, or all", 2)
    try:
        run_worker(settings, tuple(name for name in ROLES if name in wanted))
    except (Refused, SecretKeyError) as error:
        fail(str(error), 2)


@app.command
def red() -> None:
    """Run RED's HTTP service; the same as `python -m red_service`."""
    os.execv(sys.executable, [sys.executable, "-m", "red_service"])  # noqa: S606
