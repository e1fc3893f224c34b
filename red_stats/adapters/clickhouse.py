"""The statistics store: chDB in this process, or a ClickHouse server; one sync class, one client per thread.

chDB: one process per folder, opened after any fork, columns in, parameters only. Never is user
SQL run on these handles: they can write, and read host files.
"""

import hashlib
import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import clickhouse_connect
from clickhouse_connect.driver.exceptions import ClickHouseError

log = logging.getLogger(__name__)

DATABASE = "red"
MIGRATIONS = Path(__file__).resolve().parents[2] / "schemas" / "clickhouse"
TABLES = ("measurements", "alerts", "deliveries")

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
        self._epoch = 0

    @classmethod
    def in_folder(cls, folder: Path, *, min_free_bytes: int = 1 << 30) -> "Store":
        """An embedded store under a folder."""
        return cls(f"chdb:///{folder.resolve()}", min_free_bytes=min_free_bytes)

    def open(self) -> None:
        """Open the engine and bring the schema up to date.

        Raises:
            StoreUnusable: another process has it open, or a migration was edited.
        """
        try:
            self.command(f"CREATE DATABASE IF NOT EXISTS {DATABASE}")
        except Exception as error:  # chDB raises several kinds
            raise StoreUnusable(_why_unusable(error)) from error
        self._migrate()

    def close(self) -> None:
        """Close every client; the engine ends with the last one."""
        with self._lock:
            clients, self._clients = self._clients, []
            self._epoch += 1
        for client in clients:
            try:
                client.close()
            except Exception as error:
                log.warning("closing the store: %s", error)

    def reopen(self) -> None:
        """Close and open again: afterwards the engine shows what is really on the disk."""
        self.close()
        self.open()

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Rows of a query of ours, with `{name:Type}` parameters.

        Raises:
            StoreError: the engine refused it.
        """
        with _one_kind_of_error():
            result = self._client().query(sql, parameters=dict(parameters or {}))
            return [tuple(row) for row in result.result_rows]

    def command(self, sql: str) -> Any:
        """Run one statement of ours.

        Raises:
            StoreError: the engine refused it.
        """
        with _one_kind_of_error():
            return self._client().command(sql)

    def insert(self, table: str, columns: Sequence[str], data: Sequence[Sequence[Any]], token: str) -> None:
        """Insert columns as one part under a deduplication token; dropped silently if it was used.

        Raises:
            StoreError: the outcome is unknown.
        """
        settings = {
            "async_insert": 0,
            "insert_deduplicate": 1,
            "insert_deduplication_token": token,
        }
        with _one_kind_of_error():
            self._client().insert(
                f"{DATABASE}.{table}",
                list(data),
                column_names=list(columns),
                column_oriented=True,
                settings=settings,
            )

    def _client(self) -> Any:
        if getattr(self._local, "epoch", None) != self._epoch:
            options: dict[str, Any] = {"interface": "chdb"} if self.embedded else {}
            client = clickhouse_connect.get_client(dsn=self.dsn, **options)
            with self._lock:
                self._clients.append(client)
            self._local.client, self._local.epoch = client, self._epoch
        return self._local.client

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
                self.command(
                    sql.replace("IF NOT EXISTS ", f"IF NOT EXISTS {DATABASE}.", 1)
                    + f", min_free_disk_bytes_to_perform_insert = {self._min_free_bytes}"
                )
                row = [[path.name], [digest]]
                self.insert("migrations", ("name", "sha256"), row, f"migration/{path.name}")
            elif done[path.name] != digest:
                raise StoreUnusable(f"{path.name} was edited after it was applied; add a new file")


@contextmanager
def _one_kind_of_error() -> Iterator[None]:
    """ChDB and the drivers raise several kinds; callers know one."""
    try:
        yield
    except StoreError:
        raise
    except Exception as error:
        raise StoreError(str(error) or repr(error)) from error


def _why_unusable(error: Exception) -> str:
    text = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
    if "lock" in text.lower() or "EmbeddedServer" in text:
        return f"the store is open in another process ({text[:200]})"
    return f"the store cannot be opened: {text[:300]}"
