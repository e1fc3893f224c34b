"""The statistics store: chDB in this process, or a ClickHouse server; one sync class, one client per thread.

A folder of chDB is open in one process at a time, and opened after any fork. SQL of clients never runs on
these handles, which can write and read files of the host: `answer` makes one that can do neither.
"""

import fcntl
import hashlib
import logging
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Final

import clickhouse_connect
from clickhouse_connect.driver.exceptions import ClickHouseError

from red_stats.domain.store_urls import parse_store_url
from red_stats.store import native_format
from red_stats.store.disk_guard import DiskGuard, free_bytes
from red_stats.store.memory_file import SUPPORTED, MemoryFile
from red_stats.store.queries import DATABASE
from red_stats.store.sql.errors import SqlFailed, failed
from red_stats.store.sql.limits import NEWER
from red_stats.store.sql.questions import SqlQuestion

log = logging.getLogger(__name__)

MIGRATIONS = Path(__file__).with_name("migrations")
LOCK_SECONDS: Final = 60.0  # to wait for a worker that changes the tables
_COPIED = re.compile(rf"INSERT INTO.*?FROM {DATABASE}\.(\w+)", re.DOTALL)
_TABLE = re.compile("(CREATE TABLE IF NOT EXISTS|ALTER TABLE) ")

StoreError = ClickHouseError


class StoreUnusable(Exception):
    """Raised when the store cannot be opened; the text says what to do."""


class Store:
    """Queries and inserts, with a client for each thread; `dsn` is a server's, or `chdb:///<folder>`."""

    def __init__(self, dsn: str, *, min_free_bytes: int = 1 << 30) -> None:
        self.dsn = dsn
        self.embedded = dsn.startswith("chdb:")
        self._server = {} if self.embedded else parse_store_url(dsn).arguments()
        self._min_free_bytes = min_free_bytes
        self._local = threading.local()
        self._clients: list[Any] = []
        self._lock = threading.Lock()
        self._gate = threading.Condition()
        self._calls = 0  # those under way
        self._reopening = False
        self._epoch = 0
        self._guard: DiskGuard | None = None
        self._types: dict[str, Mapping[str, str]] = {}
        self._unknown: frozenset[str] | None = None

    @classmethod
    def in_folder(cls, folder: Path, *, min_free_bytes: int = 1 << 30) -> "Store":
        """An embedded store (chDB) in a folder."""
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
        """Check the free bytes before something is made that a full disk would leave broken.

        Raises:
            StoreError: fewer bytes are free than inserts need plus `more`.
        """
        if self.embedded and (free := free_bytes(self._folder)) < self._min_free_bytes + more:
            needed = (self._min_free_bytes + more) >> 20
            raise StoreError(f"{self._folder} has {free >> 20} MiB free, {needed} MiB are needed")

    def close(self) -> None:
        """Close every client; chDB's engine stops with the last one."""
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
                log.warning("the store could not be closed cleanly: %s", error)

    @property
    def epoch(self) -> int:
        """The store epoch, which changes at every close: what was read before may be gone."""
        return self._epoch

    def reopen(self) -> None:
        """Close and open again; afterwards the engine shows what is really on the disk.

        The engine stops only with its last client, so calls under way are waited for, and new calls wait
        until the store is open again.

        Raises:
            StoreUnusable: it cannot be opened again.
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
        """The rows of a query with `{name:Type}` parameters.

        Raises:
            StoreError: the query failed.
        """
        with self._call(), _as_store_error():
            result = self._client().query(sql, parameters=dict(parameters or {}))
            return [tuple(row) for row in result.result_rows]

    def packed(self, sql: str, parameters: Mapping[str, Any] | None = None) -> bytes:
        """The rows of a query as the engine's RowBinary: a hundredth of the time of rows as objects.

        Raises:
            StoreError: the query failed.
        """
        with self._call(), _as_store_error():
            found = self._client().raw_query(sql, parameters=dict(parameters or {}), fmt="RowBinary")
            return bytes(found)

    def answer(self, question: SqlQuestion) -> bytes:
        """The answer to SQL of a client, on a handle of its own, which its settings make read only.

        Raises:
            SqlFailed: the engine refused it, or it reached a limit.
            StoreError: the store is away.
        """
        settings = self._known(question.settings)
        with self._call(), _as_store_error():
            # not the database of the session: a name alone would be a table, or a file, of that
            client = self._connected(settings=settings, database=DATABASE)
            try:
                return bytes(client.raw_query(question.sql, fmt=question.format))
            except Exception as error:  # chDB raises several kinds
                said = failed(str(error), question.limits)
                raise said or error from error
            finally:
                client.close()

    def _known(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The settings but those of NEWER that a server does not know: it has not what they switch off."""
        if self._unknown is None:
            found = {name for [name] in self.query("SELECT name FROM system.settings")}
            self._unknown = NEWER - found
        return {name: value for name, value in settings.items() if name not in self._unknown}

    def command(self, sql: str) -> Any:
        """Run one statement.

        Raises:
            StoreError: the statement failed.
        """
        with self._call(), _as_store_error():
            return self._client().command(sql)

    def insert(
        self, table: str, columns: Sequence[str], groups: Sequence[native_format.Columns], token: str
    ) -> None:
        """Insert groups of columns as one part under a deduplication token.

        A token that was used before makes the engine drop the insert silently.

        Raises:
            StoreError: the insert failed, or its outcome is unknown.
            KeyError, OverflowError: a value does not fit into the table.
        """
        settings: dict[str, int | str] = {
            "async_insert": 0,
            "insert_deduplicate": 1,
            "insert_deduplication_token": token,
            "min_free_disk_bytes_to_perform_insert": self._min_free_bytes,
        }
        # outside the call: a value that does not fit is not a StoreError
        pieces = list(native_format.pieces(columns, self._types_of(table), groups))
        with self._call(), _as_store_error():
            client = self._client()
            if self.embedded and SUPPORTED:
                file = self._memory_file()
                file.write(pieces)
                client.command(_insert_from(file.path, table, columns, settings))
            else:
                client.raw_insert(f"{DATABASE}.{table}", columns, b"".join(pieces), settings, "Native")

    def _types_of(self, table: str) -> Mapping[str, str]:
        """The types of a table's columns by name; they do not change while the process runs."""
        if table not in self._types:
            found = self.query(f"DESCRIBE TABLE {DATABASE}.{table}")
            self._types[table] = {str(row[0]): str(row[1]) for row in found}
        return self._types[table]

    @property
    def _folder(self) -> Path:
        return Path(self.dsn.removeprefix("chdb:///"))

    def _check_room_for_tables(self, more: int = 0) -> None:
        """Check before a table is made: chDB never again opens a folder with half of a table's definition."""
        try:
            self.check_room(more)
        except StoreError as error:
            advice = "make room or lower RED_MIN_FREE_BYTES"
            raise StoreUnusable(f"tables cannot be created: {error}: {advice}") from error

    def _why_unusable(self, error: Exception) -> str:
        text = " ".join(str(error).split())[:300] or repr(error)
        if not self.embedded:
            return f"the store cannot be opened: {text}"
        if is_locked(self._folder / "status"):
            return f"the store is open in another process ({self._folder})"
        return (
            f"the store in {self._folder} cannot be opened, see chDB's error above ({text}):"
            " move the folder away, and what Kafka still has is recorded again"
        )

    @contextmanager
    def _call(self) -> Iterator[None]:
        """A call of the engine; while the store is reopened, only the thread that does it may call."""
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
            client = self._connected()
            with self._lock:
                self._clients.append(client)
            self._local.client, self._local.epoch = client, self._epoch
        return self._local.client

    def _connected(self, **options: Any) -> Any:
        where = {"interface": "chdb", "dsn": self.dsn} if self.embedded else self._server
        return clickhouse_connect.get_client(**{**where, **options})

    def _memory_file(self) -> MemoryFile:
        if not hasattr(self._local, "file"):
            self._local.file = MemoryFile()
        file: MemoryFile = self._local.file
        return file

    def _migrate(self) -> None:
        self.command(
            f"CREATE TABLE IF NOT EXISTS {DATABASE}.migrations"
            " (name String, sha256 String, applied_at DateTime DEFAULT now())"
            " ENGINE = MergeTree ORDER BY name"
        )
        texts = {path.name: path.read_text() for path in sorted(MIGRATIONS.glob("*.sql"))}
        digests = {name: hashlib.sha256(sql.encode()).hexdigest() for name, sql in texts.items()}
        applied = self._applied()
        for name, digest in applied.items():
            if digests.get(name, digest) != digest:
                raise StoreUnusable(f"{name} was edited after it was applied: add a new file instead")
        if applied.keys() >= texts.keys():
            return
        with nullcontext() if self.embedded else self._alone():
            applied = self._applied()  # another worker may just have done it
            for name in [name for name in texts if name not in applied]:
                self._apply(name, texts[name], digests[name])

    def _applied(self) -> dict[str, str]:
        return dict(self.query(f"SELECT name, sha256 FROM {DATABASE}.migrations"))

    def _apply(self, name: str, sql: str, digest: str) -> None:
        self._check_room_for_tables(sum(map(self._bytes_of, _COPIED.findall(sql))))
        for statement in filter(str.strip, sql.split(";\n")):
            self.command(_TABLE.sub(rf"\1 {DATABASE}.", statement))
        self.insert("migrations", ("name", "sha256"), [[[name], [digest]]], f"migration/{name}")

    def _bytes_of(self, table: str) -> int:
        parts = "system.parts WHERE active AND database = {d:String} AND table = {t:String}"
        [[found]] = self.query(f"SELECT sum(bytes_on_disk) FROM {parts}", {"d": DATABASE, "t": table})
        return int(found)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keeps other workers from changing the tables of the same server meanwhile."""
        lock, deadline = f"{DATABASE}.migrating", time.monotonic() + LOCK_SECONDS
        while True:
            try:
                self.command(f"CREATE TABLE {lock} (n UInt8) ENGINE = Memory")
                break
            except StoreError as error:
                if time.monotonic() > deadline:
                    raise StoreUnusable(
                        f"another worker is changing the tables, start this one later ({str(error)[:100]});"
                        f" if none is, because it died, DROP TABLE {lock}"
                    ) from error
                time.sleep(0.2)
        try:
            yield
        finally:
            self.command(f"DROP TABLE {lock}")


def _insert_from(path: str, table: str, columns: Sequence[str], settings: Mapping[str, int | str]) -> str:
    """The statement the driver would send; the driver's own insert writes a file to the disk first."""
    assignments = ", ".join(f"{name} = {_quoted(value)}" for name, value in settings.items())
    return (
        f"INSERT INTO {DATABASE}.{table} ({', '.join(columns)})"
        f" FROM INFILE '{path}' SETTINGS {assignments} FORMAT Native"
    )


def _quoted(value: int | str) -> str:
    return str(value) if isinstance(value, int) else "'" + re.sub(r"(['\\])", r"\\\1", value) + "'"


@contextmanager
def _as_store_error() -> Iterator[None]:
    """Turn the various errors of chDB and the drivers into StoreError, the only one that callers know."""
    try:
        yield
    except (StoreError, SqlFailed):
        raise
    except Exception as error:
        raise StoreError(str(error) or repr(error)) from error


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock on one of chDB's files."""
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
        ImportError: chDB cannot be loaded on this machine.
    """
    import chdb

    return str(chdb.__version__)
