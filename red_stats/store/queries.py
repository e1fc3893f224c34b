"""What other rooms ask the store, as SQL with its parameters; sink.py asks about its own batches and parts.

Rows of clients have a client_id; that of marker rows is empty.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

from red_common.events import to_basis_points

DATABASE: Final = "red"
LAST_MS: Final = 10_413_791_999_999  # the end of 2299, the last time that a DateTime64 holds

ALERT_COLUMNS: Final = (
    "id, subscription_id, version, seq, prev_seq, image_id, red_bp, threshold_bp,"
    " toUnixTimestamp64Milli(measured_at), position, kafka_offset"
)
DELIVERY_COLUMNS: Final = (
    "id, any(webhook_id), any(alert_id), any(subscription_id), argMax(state, kafka_offset) AS s,"
    " arraySort(groupArrayIf((attempt, toUnixTimestamp64Milli(at), status, error, ms), attempt > 0)),"
    " argMax(toUnixTimestamp64Milli(due_at), kafka_offset), toUnixTimestamp64Milli(min(enqueued_at) AS made)"
)
LAST_STATES: Final = ("delivered", "exhausted", "cancelled")  # after which there is no further row


FEW: Final = 10  # thresholds
_MARK: Final = (
    f"(SELECT if(count() = 0, -1, toInt64(max(kafka_offset))) FROM {DATABASE}.measurements"
    " WHERE client_id = '' AND kafka_partition = {p:UInt16})"
)


class Queries(Protocol):
    """What answers queries: the store itself, or the process that has it open."""

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """The rows of a query.

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


def counts(client_id: str, partition: int, start: int, end: int, thresholds: Sequence[float]) -> Question:
    """The last offset recorded of a partition (-1: none), the images of `[start, end)` (ms), those over each.

    `thresholds` are shares in 0..1; the counts are an array in their order. One statement, so that the
    offset belongs to the counts.
    """
    bounds = [to_basis_points(t) for t in thresholds]
    read = (
        f"FROM {DATABASE}.measurements WHERE client_id = {{c:String}}"
        " AND measured_at >= fromUnixTimestamp64Milli({f:Int64})"
        " AND measured_at < fromUnixTimestamp64Milli({t:Int64})"
    )
    values = {"c": client_id, "p": partition, "f": min(start, LAST_MS), "t": min(end, LAST_MS)}
    if len(bounds) <= FEW:
        over = ", ".join(f"countIf(red_bp > {bound:d})" for bound in bounds)
        return Question(f"SELECT {_MARK}, count(), [{over}] {read}", values)
    # an expression for each would take longer to plan than to run
    counted = "arraySum(arrayMap((red, n) -> if(red > bound, n, 0), groupArray(red_bp), groupArray(n)))"
    sql = (
        f"SELECT {_MARK}, sum(n), arrayMap(bound -> {counted}, {{bounds:Array(UInt16)}})"
        f" FROM (SELECT red_bp, count() AS n {read} GROUP BY red_bp)"
    )
    return Question(sql, values | {"bounds": bounds})


def newest_alerts(client_id: str, before: int, limit: int) -> Question:
    """ALERT_COLUMNS of a client's alerts below an offset, newest first."""
    return _alerts(client_id, "kafka_offset < {x:UInt64} ORDER BY kafka_offset DESC", limit, {"x": before})


def alerts_of(client_id: str, subscription_id: str, after: int, limit: int) -> Question:
    """ALERT_COLUMNS of one subscription's alerts after a `seq`, in its order."""
    where = "subscription_id = {s:String} AND seq > {x:UInt64} ORDER BY seq"
    return _alerts(client_id, where, limit, {"s": subscription_id, "x": after})


def _alerts(client_id: str, where: str, limit: int, values: dict[str, Any]) -> Question:
    sql = (
        f"SELECT {ALERT_COLUMNS} FROM {DATABASE}.alerts WHERE client_id = {{c:String}}"
        f" AND {where} LIMIT {limit:d}"
    )
    return Question(sql, {"c": client_id, **values})


class Made(NamedTuple):
    """When a delivery was made (ms since 1970), and its id: their order is that of pages."""

    at: int
    id: str


def deliveries(
    client_id: str,
    *,
    limit: int,
    before: Made | None = None,
    subscription_id: str | None = None,
    state: str | None = None,
    among: int | None = None,
) -> Question:
    """DELIVERY_COLUMNS of a client's deliveries, newest first, among the newest `among` rows; None: all.

    The last column is how many rows those were: fewer than `among` if there are no more. All rows of a
    delivery are beside each other, so that the newest are found without reading the others. Those in one of
    LAST_STATES are found by their last row, always among all.
    """
    values: dict[str, Any] = {"c": client_id}
    where = ["client_id = {c:String}"]
    if subscription_id is not None:
        where.append("subscription_id = {subscription:String}")
        values["subscription"] = subscription_id
    if before is not None:
        at = "fromUnixTimestamp64Milli({at:Int64})"
        where.append(f"enqueued_at <= {at} AND (enqueued_at < {at} OR id < {{id:String}})")
        values |= {"at": min(before.at, LAST_MS), "id": before.id}
    having = ""
    if state is not None:
        having = " HAVING s = {s:String}"
        values["s"] = state
    rows, bound, number = " AND ".join(where), "", "0"
    if state in LAST_STATES:
        ended = (
            f"SELECT enqueued_at, id FROM {DATABASE}.deliveries WHERE {rows} AND state = {{s:String}}"
            f" ORDER BY enqueued_at DESC, id DESC LIMIT {limit:d}"
        )
        rows = f"{rows} AND (enqueued_at, id) IN ({ended})"
    elif among is not None:
        newest = (
            f"SELECT enqueued_at FROM {DATABASE}.deliveries WHERE {rows}"
            f" ORDER BY enqueued_at DESC LIMIT {among:d}"
        )
        bound = f"WITH (SELECT (min(enqueued_at), count()) FROM ({newest})) AS newest "
        rows, number = f"{rows} AND enqueued_at >= newest.1", "newest.2"
    sql = (
        f"{bound}SELECT {DELIVERY_COLUMNS}, {number} FROM {DATABASE}.deliveries WHERE {rows}"
        f" GROUP BY id{having} ORDER BY made DESC, id DESC LIMIT {limit:d}"
    )
    return Question(sql, values)


def delivery(client_id: str, *, delivery_id: str | None = None, alert_id: str | None = None) -> Question:
    """DELIVERY_COLUMNS of a client's delivery with this id, or of this alert."""
    name, value = ("id", delivery_id) if delivery_id is not None else ("alert_id", alert_id)
    sql = (
        f"SELECT {DELIVERY_COLUMNS} FROM {DATABASE}.deliveries"
        f" WHERE client_id = {{c:String}} AND {name} = {{i:String}} GROUP BY id"
    )
    return Question(sql, {"c": client_id, "i": value})


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


def last_states() -> Question:
    """The id of every alert that has a delivery, and the last state of the delivery."""
    sql = (
        f"SELECT alert_id, argMax(state, kafka_offset) FROM {DATABASE}.deliveries"
        " WHERE client_id != '' AND alert_id != '' GROUP BY alert_id"
    )
    return Question(sql, {})


def places_of_alerts() -> Question:
    """Partition and offset of every alert recorded."""
    sql = f"SELECT kafka_partition, kafka_offset FROM {DATABASE}.alerts WHERE client_id != ''"
    return Question(sql, {})


def bytes_of(table: str) -> Question:
    """The bytes that a table occupies on the disk."""
    sql = (
        "SELECT sum(bytes_on_disk) FROM system.parts"
        " WHERE active AND database = {d:String} AND table = {t:String}"
    )
    return Question(sql, {"d": DATABASE, "t": table})


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
