"""PostgreSQL and Redis in a folder that ends with them, for the peers that keep their state there."""

import getpass
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from red_common.child_processes import die_with_parent

# Room for the tables and a log that need not be checkpointed within a run; fsync stays on, and so
# does synchronous_commit: what is committed is there after a power cut.
POSTGRES = {
    "shared_buffers": "512MB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "30min",
    "listen_addresses": "",
}
# The append-only file is synced every second, as is its default when it is on.
REDIS = {"port": "0", "save": "", "appendonly": "yes", "appendfsync": "everysec", "io-threads": "1"}
SECONDS = 30
POSTGRES_PROGRAMS = ("initdb", "postgres")


class Databases(NamedTuple):
    """Sockets of both, and the processes whose trees are theirs."""

    postgres: str  # what psycopg connects to
    redis: str
    pids: list[int]


@contextmanager
def databases() -> Iterator[Databases]:
    owner = _owner()
    with _folder(owner) as folder, _postgres(folder, owner) as postgres, _redis(folder, owner) as redis:
        yield Databases(_where(folder, owner), str(folder / "redis.sock"), [postgres.pid, redis.pid])


@contextmanager
def postgres_alone() -> Iterator[str]:
    """What psycopg connects to."""
    owner = _owner()
    with _folder(owner) as folder, _postgres(folder, owner):
        yield _where(folder, owner)


def missing(*programs: str) -> str:
    """The programs that are not there; without names, of all that `databases` needs."""
    return ", ".join(name for name in programs or (*POSTGRES_PROGRAMS, "redis-server") if not _program(name))


@contextmanager
def _folder(owner: str | None) -> Iterator[Path]:
    with TemporaryDirectory(prefix="red-bench-db-") as name:
        if owner:
            shutil.chown(name, owner, owner)
        yield Path(name)


def _where(folder: Path, owner: str | None) -> str:
    return f"host={folder} dbname=postgres user={owner or _me()}"


def _program(name: str) -> str:
    """Debian keeps PostgreSQL's outside the path."""
    kept = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or str(kept[-1] if kept else "")


def _owner() -> str | None:
    """PostgreSQL refuses to run as root."""
    return "postgres" if os.geteuid() == 0 else None


def _me() -> str:
    return getpass.getuser()


@contextmanager
def _postgres(folder: Path, owner: str | None) -> Iterator[subprocess.Popen[bytes]]:
    data = folder / "postgres"
    # `trust` is for whoever may enter the folder, that is its owner and root.
    options = ["--auth=trust", "--locale=C", "--encoding=UTF8", f"--username={owner or _me()}"]
    subprocess.run(
        [_program("initdb"), "-D", str(data), *options],
        check=True,
        stdout=subprocess.DEVNULL,
        user=owner,
        group=owner,
        cwd=folder,
    )
    settings = POSTGRES | {"unix_socket_directories": str(folder)}
    arguments = [argument for pair in settings.items() for argument in ("-c", "=".join(pair))]
    pid_file = data / "postmaster.pid"
    # SIGINT rolls back what is open and stops at once.
    with _server(
        [_program("postgres"), "-D", str(data), *arguments], folder, owner, signal.SIGINT
    ) as process:
        _wait(process, lambda: pid_file.exists() and "ready" in pid_file.read_text())
        yield process


@contextmanager
def _redis(folder: Path, owner: str | None) -> Iterator[subprocess.Popen[bytes]]:
    socket = folder / "redis.sock"
    settings = REDIS | {"unixsocket": str(socket), "dir": str(folder)}
    arguments = [argument for name, value in settings.items() for argument in (f"--{name}", value)]
    command = [_program("redis-server"), *arguments]
    with _server(command, folder, owner, signal.SIGTERM) as process:
        _wait(process, socket.exists)
        yield process


@contextmanager
def _server(
    command: list[str], folder: Path, owner: str | None, stop: signal.Signals
) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / f"{Path(command[0]).name}.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            user=owner,
            group=owner,
            cwd=folder,
            preexec_fn=die_with_parent(stop),
        )
    try:
        yield process
    finally:
        process.send_signal(stop)
        process.wait(SECONDS)


def _wait(process: subprocess.Popen[bytes], ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"{process.args} did not start")
        time.sleep(0.05)
