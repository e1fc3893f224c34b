"""What other rooms ask the store, as SQL with its parameters.

Statistics are in statistics.py, alerts and deliveries in alert_queries.py; sink.py asks about its own batches
and parts.

Rows of clients have a client_id; that of marker rows is empty.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

from red_stats.domain.erasure import NEVER, Erased

DATABASE: Final = "red"
POSITION: Final = "concat(toString(kafka_partition), ':', toString(kafka_offset))"
LAST_MS: Final = 10_413_791_999_999  # the end of 2299, the last time that a DateTime64 holds


class Queries(Protocol):
    """What answers queries: the store itself, or the process that has it open."""

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """The rows of a query.

        Raises:
            StoreError: the query failed.
        """

    def packed(self, sql: str, parameters: Mapping[str, Any] | None = None) -> bytes:
        """The rows of a query as the engine's RowBinary: its values, and nothing between them.

        Raises:
            StoreError: the query failed.
        """


class Question(NamedTuple):
    """SQL with `{name:Type}` parameters, and their values."""

    sql: str
    parameters: dict[str, Any]


def alive() -> Question:
    """One row, if the store answers at all."""
    return Question("SELECT 1", {})


def named(question: Question, name: str, seconds: int) -> Question:
    """The same question under a name, by which `killing` finds it, and with a limit of time.

    Nothing is compiled for it: that takes 100 ms and more at the fourth time that the same is asked.
    """
    sql = (
        f"{question.sql} SETTINGS max_execution_time = {seconds:d}, log_comment = '{name}',"
        " compile_expressions = 0, compile_aggregate_expressions = 0"
    )
    return Question(sql, question.parameters)


def killing(name: str) -> Question:
    """The statement that ends a question that was `named`, wherever it runs in the engine."""
    return Question("KILL QUERY WHERE Settings['log_comment'] = {name:String} ASYNC", {"name": name})


def mark(table: str, partition: int) -> Question:
    """The number of batches recorded of a partition, and the last offset."""
    sql = (
        f"SELECT count(), max(kafka_offset) FROM {DATABASE}.{table}"
        " WHERE client_id = '' AND kafka_partition = {p:UInt16}"
    )
    return Question(sql, {"p": partition})


def marks(table: str) -> Question:
    """Each partition with the last offset recorded of it."""
    sql = (
        f"SELECT kafka_partition, max(kafka_offset) FROM {DATABASE}.{table}"
        " WHERE client_id = '' GROUP BY kafka_partition"
    )
    return Question(sql, {})


def amounts(
    partition: int,
    first: int,
    last: int,
    *,
    client_id: str | None = None,
    start: int | None = None,
    end: int | None = None,
) -> Question:
    """Offset and amount (bp) of every measurement of a partition between two offsets, both included.

    Only of one client, and of `[start, end)` in event time (ms), where these are given.
    """
    optional = (
        ("client_id = {c:String}", "c", client_id),
        ("measured_at >= fromUnixTimestamp64Milli({f:Int64})", "f", start),
        ("measured_at < fromUnixTimestamp64Milli({t:Int64})", "t", end),
    )
    given = [(text, name, value) for text, name, value in optional if value is not None]
    sql = (
        f"SELECT kafka_offset, red_bp FROM {DATABASE}.measurements WHERE client_id != ''"
        " AND kafka_partition = {p:UInt16} AND kafka_offset >= {a:Int64} AND kafka_offset <= {b:Int64}"
        + "".join(f" AND {text}" for text, _, _ in given)
    )
    values = {"p": partition, "a": first, "b": last} | {name: value for _, name, value in given}
    return Question(sql, values)


def bytes_of(table: str) -> Question:
    """The bytes that a table occupies on the disk."""
    sql = (
        "SELECT sum(bytes_on_disk) FROM system.parts"
        " WHERE active AND database = {d:String} AND table = {t:String}"
    )
    return Question(sql, {"d": DATABASE, "t": table})


TOLD_OF_CLIENTS: Final = ("measurements", "alerts", "deliveries")
TABLES_OF_CLIENTS: Final = (*TOLD_OF_CLIENTS, "versions")
CLIENTS_AT_ONCE: Final = 1000  # in one question: their names are in its address


def is_erased(table: str, erased: Erased) -> str:
    """The condition of the erased rows of a client; what `Erased` says of records, as SQL."""
    return _is_erased(table, f"{erased.before:d}", f"toInt64({erased.at:d})")


def _is_erased(table: str, before: str, at: str) -> str:
    below = f"toUInt64OrZero(splitByChar(':', position)[2]) < {before}"
    made = f"enqueued_at <= fromUnixTimestamp64Milli({at})"
    return {
        "measurements": f"kafka_offset < {before}",
        "alerts": below,
        "deliveries": f"if(position = '', {made}, {below})",
        "versions": f"at <= fromUnixTimestamp64Milli({at})",
        "daily": f"day = 0 AND sealed_from < {before}",
    }[table]


def erased_rows(table: str, clients: Mapping[str, Erased]) -> list[Question]:
    """Every client that still has rows (in `daily`, seals) of what has been erased of it, and how many."""
    before = "transform(client_id, {names:Array(String)}, {before:Array(UInt64)}, toUInt64(0))"
    at = "transform(client_id, {names:Array(String)}, {at:Array(Int64)}, toInt64(-1))"
    sql = (
        f"SELECT client_id, count() FROM {DATABASE}.{table} WHERE client_id IN {{names:Array(String)}}"
        f" AND {_is_erased(table, before, at)} GROUP BY client_id"
    )
    every = list(clients.items())
    return [
        Question(sql, _columns(every[start : start + CLIENTS_AT_ONCE]))
        for start in range(0, len(every), CLIENTS_AT_ONCE)
    ]


def _columns(clients: Sequence[tuple[str, Erased]]) -> dict[str, Any]:
    return {
        "names": [name for name, _ in clients],
        "before": [erased.before for _, erased in clients],
        "at": [erased.at for _, erased in clients],
    }


def kept(table: str, erased: Erased) -> str:
    """What follows a condition to leave out the erased rows of a client."""
    return "" if erased == NEVER else f" AND NOT ({is_erased(table, erased)})"


def not_erased(table: str, client_id: str, erased: Erased) -> Question:
    """How many rows a client has; of deliveries how many there are."""
    counted = "uniqExact(id)" if table == "deliveries" else "count()"
    sql = f"SELECT {counted} FROM {DATABASE}.{table} WHERE client_id = {{c:String}}{kept(table, erased)}"
    return Question(sql, {"c": client_id})


class Deletion(NamedTuple):
    """Rows of a client, all or those for which a condition holds, deleted while everything else goes on.

    A client_id has no quotes: it was checked when its command was read.
    """

    table: str
    client_id: str
    condition: str = "1"

    @property
    def _where(self) -> str:
        return f"WHERE client_id = '{self.client_id}' AND {self.condition}"

    def room(self) -> Question:
        """The bytes of the parts that have such rows, which are written anew without them."""
        parts = f"SELECT DISTINCT _part FROM {DATABASE}.{self.table} {self._where}"
        sql = (
            "SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = {d:String}"
            f" AND table = {{t:String}} AND name IN ({parts})"
        )
        return Question(sql, {"d": DATABASE, "t": self.table})

    def under_way(self) -> Question:
        """How many deletions of rows of the client the engine has not ended yet."""
        sql = (
            "SELECT count() FROM system.mutations WHERE NOT is_done AND database = {d:String}"
            " AND table = {t:String} AND position(command, {c:String}) > 0"
        )
        return Question(sql, {"d": DATABASE, "t": self.table, "c": f"'{self.client_id}'"})

    def begin(self, *, wait: bool = False) -> str:
        """The statement that has the engine delete them, now or soon; it goes on after a restart."""
        sync = 2 if wait else 0
        return f"ALTER TABLE {DATABASE}.{self.table} DELETE {self._where} SETTINGS mutations_sync = {sync}"


class Rebuilding(NamedTuple):
    """The statements that replace a table by a new one."""

    table: str

    @property
    def beside(self) -> str:
        """The name of the new table while it is filled."""
        return f"{self.table}_rebuilt"

    def drop(self) -> str:
        """Drop the table beside the old one, if there is one."""
        return f"DROP TABLE IF EXISTS {DATABASE}.{self.beside}"

    def create(self) -> str:
        """Create an empty table beside the old one."""
        return f"CREATE TABLE {DATABASE}.{self.beside} AS {DATABASE}.{self.table}"

    def count_before(self, partition: int, offset: int) -> Question:
        """Count the rows of a partition below an offset."""
        kept = self._below(partition, offset)
        return Question(f"SELECT count() FROM {DATABASE}.{self.table} WHERE {kept} AND client_id != ''", {})

    def copy_before(self, partition: int, offset: int) -> str:
        """Copy the rows of a partition below an offset."""
        kept = self._below(partition, offset)
        return f"INSERT INTO {DATABASE}.{self.beside} SELECT * FROM {DATABASE}.{self.table} WHERE {kept}"

    def exchange(self) -> str:
        """Exchange the names of both tables atomically."""
        return f"EXCHANGE TABLES {DATABASE}.{self.table} AND {DATABASE}.{self.beside}"

    def _below(self, partition: int, offset: int) -> str:
        return f"kafka_partition = {partition:d} AND kafka_offset < {offset:d}"
