"""The checks of `red-stats doctor`: everything that `up` needs."""

import asyncio
import logging
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from cryptography import x509

from red_common import open_files
from red_common.kafka.connection import KafkaConnection, KafkaError
from red_common.kafka.refusals import refusal
from red_stats.kafka import scanner
from red_stats.local.data_folder import MIN_FREE
from red_stats.local.kafka import KafkaNotReady, find_java
from red_stats.local.kafka_jars import cache_folder, read_lock
from red_stats.local.ports import is_free
from red_stats.settings import Settings
from red_stats.store import queries
from red_stats.store.clickhouse import Store, StoreError, engine_version

FEWEST_FILES: Final = 1024  # what connections, Kafka, store and webhooks fit in
FEW_FILES: Final = 4096


class Finding(NamedTuple):
    """One check: what was checked, whether it passed, and what was found."""

    what: str
    good: bool
    found: str


def examine(settings: Settings) -> list[Finding]:
    """Run all checks; a port in use fails unless a system runs in this data folder."""
    checks: dict[str, Callable[[], tuple[bool, str]]] = {
        "python": lambda: (sys.version_info >= (3, 11), sys.version.split()[0]),
        "java": _java,
        "kafka jars": _jars,
        "decoders": _decoders,
        "reader": lambda: (True, f"measurements are read by {scanner.build_and_describe()}"),
        "store": lambda: _server(settings.clickhouse) if settings.clickhouse else _store(),
        "room": lambda: _room(settings.data),
        "open files": lambda: open_files_of(open_files.hard_limit()),
        "ports": lambda: _ports(settings),
    }
    if settings.kafka is not None:
        checks["kafka"] = lambda: _kafka(settings.connection)
    if settings.tls_cert is not None:
        certificate = settings.tls_cert
        checks["certificate"] = lambda: _certificate(certificate, datetime.now(UTC))
    return [Finding(what, *check()) for what, check in checks.items()]


def _java() -> tuple[bool, str]:
    try:
        return True, find_java()
    except KafkaNotReady as error:
        return False, str(error)


def _kafka(connection: KafkaConnection) -> tuple[bool, str]:
    """Whether a cluster of one's own lets this process in; the embedded one starts with `up`."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    return asyncio.run(_reached(connection))


async def _reached(connection: KafkaConnection) -> tuple[bool, str]:
    admin = connection.admin()
    try:
        await admin.start()
    except (KafkaError, OSError) as error:
        return False, await refusal(connection) or f"Kafka at {connection} does not answer ({error})"
    finally:
        await admin.close()
    return True, f"{connection} by {connection.security.protocol}"


def _certificate(path: Path, now: datetime) -> tuple[bool, str]:
    """What RED_TLS_CERT names, and until when; the settings have been read, so its key fits."""
    found = x509.load_pem_x509_certificates(path.read_bytes())[0]
    try:
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        told = ", ".join(str(one.value) for one in names)
    except x509.ExtensionNotFound:
        told = "nobody"
    ends = found.not_valid_after_utc
    return found.not_valid_before_utc <= now < ends, f"for {told}, until {ends:%Y-%m-%d %H:%M} UTC"


def _jars() -> tuple[bool, str]:
    folder = cache_folder()
    wanted = read_lock()
    there = sum((folder / jar.file_name).is_file() for jar in wanted)
    missing = "" if there == len(wanted) else "; `red-stats up` fetches the rest"
    return True, f"{there} of {len(wanted)} in {folder}{missing}"


def _decoders() -> tuple[bool, str]:
    command = [sys.executable, "-m", "red_service", "--decoders"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = (done.stdout or done.stderr).strip().splitlines() or ["red_service does not start"]
    return done.returncode == 0, lines[-1]


def _store() -> tuple[bool, str]:
    try:
        return True, f"chdb {engine_version()}"
    except ImportError as error:
        return False, f"chdb cannot be loaded: {error}"


def _server(url: str) -> tuple[bool, str]:
    """Whether a ClickHouse server of one's own lets this process in."""
    store = Store(url)
    try:
        store.query(*queries.alive())
        return True, "the server of RED_CLICKHOUSE answers"
    except StoreError as error:
        return False, f"RED_CLICKHOUSE cannot be used: {' '.join(str(error).split())[:300]}"
    finally:
        store.close()


def _room(folder: Path) -> tuple[bool, str]:
    existing = next(path for path in (folder.resolve(), *folder.resolve().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    return free >= MIN_FREE, f"{free >> 20} MiB free in {existing}"


def open_files_of(limit: int) -> tuple[bool, str]:
    """What a limit of open files is worth: whether it is enough, and in words."""
    at_once = open_files.connections_within(limit)
    found = f"{limit} in each process, at most {at_once} of them connections of clients"
    if limit >= FEW_FILES:
        return True, found
    advice = "raise the hard limit (ulimit -Hn, LimitNOFILE=, --ulimit nofile=)"
    return limit >= FEWEST_FILES, f"{found}: low, {advice}"


def _ports(settings: Settings) -> tuple[bool, str]:
    wanted = (settings.port, settings.stats_port, settings.kafka_port)
    busy = [str(port) for port in wanted if not is_free(settings.host, port)]
    if not busy:
        return True, "all free"
    running = (settings.data / "lock").exists()
    return running, f"{', '.join(busy)} in use{', by a running system' if running else ''}"
