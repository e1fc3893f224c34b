"""The statistics store: chDB in this process, or a ClickHouse server; one sync class, one client per thread.

chDB: one process per folder, opened after any fork, columns in, parameters only. Never is user
SQL run on these handles: they can write, and read host files.
"""

import fcntl
import hashlib
import logging
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import clickhouse_connect
from clickhouse_connect.driver.exceptions import ClickHouseError

from red_stats.store import native_format
from red_stats.store.disk_guard import DiskGuard, free_bytes
from red_stats.store.memory_file import SUPPORTED, MemoryFile
from red_stats.store.queries import DATABASE

log = logging.getLogger(__name__)

MIGRATIONS = Path(__file__).with_name("migrations")
_TABLE = re.compile("(CREATE TABLE IF NOT EXISTS|ALTER TABLE) ")

StoreError = ClickHouseError


class StoreUnusable(Exception):
    """Raised when the store cannot be opened; the text says what to do."""


class Store:
    """Queries and inserts; every thread that calls gets a client of its own."""

    def __init__(self, dsn: str, *, min_free_bytes: int = 1 << 30) -> None:
        self.dsn = dsn
        self.embedded = dsn.startswith("chdb:")
        self._min_free_bytes = min_free_bytes
        self._local = threading.local()
        self._clients: list[Any] = []
        self._lock = threading.Lock()
        self._gate = threading.Condition()
        self._calls = 0  # under way
        self._reopening = False
        self._epoch = 0
        self._guard: DiskGuard | None = None
        self._types: dict[str, Mapping[str, str]] = {}

    @classmethod
    def in_folder(cls, folder: Path, *, min_free_bytes: int = 1 << 30) -> "Store":
        """An embedded store under a folder."""
        return cls(f"chdb:///{folder.resolve()}", min_free_bytes=min_free_bytes)

    def open(self) -> None:
        """Open the engine and bring the schema up to date.

        Raises:
            StoreUnusable: another process has it open, it is damaged, its disk has no room for new
                tables, or a migration was edited.
        """
        if self.embedded and not (self._folder / "metadata" / DATABASE / "migrations.sql").exists():
            self._check_room_for_tables()
        try:
            self.command(f"CREATE DATABASE IF NOT EXISTS {DATABASE}")
        except Exception as error:  # chDB raises several kinds
            raise StoreUnusable(self._why_unusable(error)) from error
        self._migrate()
        if self.embedded and self._min_free_bytes and self._guard is None:
            self._guard = DiskGuard(self, self._folder, self._min_free_bytes)
            self._guard.start()

    def check_room(self, more: int = 0) -> None:
        """Before something is made that would be left broken on a full disk.

        Raises:
            StoreError: there are fewer free bytes than inserts need, and `more`.
        """
        if self.embedded and (free := free_bytes(self._folder)) < self._min_free_bytes + more:
            needed = (self._min_free_bytes + more) >> 20
            raise StoreError(f"{self._folder} has {free >> 20} MiB free, and {needed} MiB are needed")

    def close(self) -> None:
        """Close every client; the engine ends with the last one."""
        if self._guard is not None and not self._reopening:
            self._guard.stop()
            self._guard = None
        with self._lock:
            clients, self._clients = self._clients, []
            self._epoch += 1
        for client in clients:
            try:
                client.close()
            except Exception as error:
                log.warning("closing the store: %s", error)

    @property
    def epoch(self) -> int:
        """Another one after every close: what was read before may not be there any more."""
        return self._epoch

    def reopen(self) -> None:
        """Close and open again: afterwards the engine shows what is really on the disk.

        The engine ends with its last client, so nobody may have one meanwhile: calls under way are
        waited for, others wait until it is open.
        """
        with self._gate:
            self._gate.wait_for(lambda: not self._reopening)
            self._reopening = self._local.reopens = True
            self._gate.wait_for(lambda: self._calls == 0)
        try:
            self.close()
            self.open()
        finally:
            with self._gate:
                self._reopening = self._local.reopens = False
                self._gate.notify_all()

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Rows of a query of ours, with `{name:Type}` parameters.

        Raises:
            StoreError: the engine refused it.
        """
        with self._call(), _one_kind_of_error():
            result = self._client().query(sql, parameters=dict(parameters or {}))
            return [tuple(row) for row in result.result_rows]

    def command(self, sql: str) -> Any:
        """Run one statement of ours.

        Raises:
            StoreError: the engine refused it.
        """
        with self._call(), _one_kind_of_error():
            return self._client().command(sql)

    def insert(
        self, table: str, columns: Sequence[str], groups: Sequence[native_format.Columns], token: str
    ) -> None:
        """Insert groups of columns as one part under a deduplication token; dropped silently if it was used.

        Raises:
            StoreError: the outcome is unknown.
        """
        settings: dict[str, int | str] = {
            "async_insert": 0,
            "insert_deduplicate": 1,
            "insert_deduplication_token": token,
            "min_free_disk_bytes_to_perform_insert": self._min_free_bytes,
        }
        # before the store is asked: what does not fit is no StoreError
        pieces = list(native_format.pieces(columns, self._types_of(table), groups))
        with self._call(), _one_kind_of_error():
            client = self._client()
            if self.embedded and SUPPORTED:
                file = self._memory_file()
                file.write(pieces)
                client.command(_insert_from(file.path, table, columns, settings))
            else:
                client.raw_insert(f"{DATABASE}.{table}", columns, b"".join(pieces), settings, "Native")

    def _types_of(self, table: str) -> Mapping[str, str]:
        """The types of a table's columns by name; they do not change while we run."""
        if table not in self._types:
            found = self.query(f"DESCRIBE TABLE {DATABASE}.{table}")
            self._types[table] = {str(row[0]): str(row[1]) for row in found}
        return self._types[table]

    @property
    def _folder(self) -> Path:
        return Path(self.dsn.removeprefix("chdb:///"))

    def _check_room_for_tables(self) -> None:
        """ChDB never opens a folder again in which it was left with half of a table's definition."""
        try:
            self.check_room()
        except StoreError as error:
            raise StoreUnusable(f"no new table is made: {error} (RED_MIN_FREE_BYTES)") from error

    def _why_unusable(self, error: Exception) -> str:
        text = " ".join(str(error).split())[:300] or repr(error)
        if not self.embedded:
            return f"the store cannot be opened: {text}"
        if is_locked(self._folder / "status"):
            return f"the store is open in another process ({self._folder})"
        return (
            f"the store in {self._folder} cannot be opened, chDB says above why ({text}):"
            " move the folder away, and what Kafka still has is recorded anew"
        )

    @contextmanager
    def _call(self) -> Iterator[None]:
        """One call at the engine; never while it is opened again, but by the one who does it."""
        with self._gate:
            self._gate.wait_for(lambda: not self._reopening or getattr(self._local, "reopens", False))
            self._calls += 1
        try:
            yield
        finally:
            with self._gate:
                self._calls -= 1
                self._gate.notify_all()

    def _client(self) -> Any:
        if getattr(self._local, "epoch", None) != self._epoch:
            options: dict[str, Any] = {"interface": "chdb"} if self.embedded else {}
            client = clickhouse_connect.get_client(dsn=self.dsn, **options)
            with self._lock:
                self._clients.append(client)
            self._local.client, self._local.epoch = client, self._epoch
        return self._local.client

    def _memory_file(self) -> MemoryFile:
        if not hasattr(self._local, "file"):
            self._local.file = MemoryFile()
        found: MemoryFile = self._local.file
        return found

    def _migrate(self) -> None:
        self.command(
            f"CREATE TABLE IF NOT EXISTS {DATABASE}.migrations"
            " (name String, sha256 String, applied_at DateTime DEFAULT now())"
            " ENGINE = MergeTree ORDER BY name"
        )
        done = dict(self.query(f"SELECT name, sha256 FROM {DATABASE}.migrations"))
        for path in sorted(MIGRATIONS.glob("*.sql")):
            sql = path.read_text()
            digest = hashlib.sha256(sql.encode()).hexdigest()
            if path.name not in done:
                self._check_room_for_tables()
                for statement in filter(str.strip, sql.split(";\n")):
                    self.command(_TABLE.sub(rf"\1 {DATABASE}.", statement))
                row = [[path.name], [digest]]
                self.insert("migrations", ("name", "sha256"), [row], f"migration/{path.name}")
            elif done[path.name] != digest:
                raise StoreUnusable(f"{path.name} was edited after it was applied; add a new file")


def _insert_from(path: str, table: str, columns: Sequence[str], settings: Mapping[str, int | str]) -> str:
    """What the driver would say; its own insert writes a file on the disk first."""
    wanted = ", ".join(f"{name} = {_quoted(value)}" for name, value in settings.items())
    return (
        f"INSERT INTO {DATABASE}.{table} ({', '.join(columns)})"
        f" FROM INFILE '{path}' SETTINGS {wanted} FORMAT Native"
    )


def _quoted(value: int | str) -> str:
    return str(value) if isinstance(value, int) else "'" + re.sub(r"(['\\])", r"\\\1", value) + "'"


@contextmanager
def _one_kind_of_error() -> Iterator[None]:
    """ChDB and the drivers raise several kinds; callers know one."""
    try:
        yield
    except StoreError:
        raise
    except Exception as error:
        raise StoreError(str(error) or repr(error)) from error


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock on a file of chDB's."""
    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def engine_version() -> str:
    """The version of the embedded engine.

    Raises:
        ImportError: it cannot be loaded here.
    """
    import chdb

    return str(chdb.__version__)
