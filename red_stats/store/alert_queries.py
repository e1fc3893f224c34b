"""What is asked of alerts, the versions that raised them, and deliveries, as SQL with its parameters."""

from typing import Any, Final, NamedTuple

from red_stats.domain.erasure import NEVER, Erased
from red_stats.store.queries import DATABASE, LAST_MS, Question, kept

ALERT_COLUMNS: Final = (
    "id, subscription_id, version, seq, prev_seq, image_id, red_bp, threshold_bp,"
    " toUnixTimestamp64Milli(measured_at), position, kafka_offset"
)
VERSION_COLUMNS: Final = (
    "version, threshold_bp, trigger, rearm_below_bp, min_interval, max_age, in_force_from, ended"
)
DELIVERY_COLUMNS: Final = (
    "id, any(webhook_id), any(alert_id), any(subscription_id), argMax(state, kafka_offset) AS s,"
    " arraySort(groupArrayIf((attempt, toUnixTimestamp64Milli(at), status, error, ms,"
    " (dns_ms, connect_ms, tls_ms, first_byte_ms), toUnixTimestamp64Milli(due_at), because), attempt > 0)),"
    " argMax(toUnixTimestamp64Milli(due_at), kafka_offset), toUnixTimestamp64Milli(min(enqueued_at) AS made),"
    " (any(kind), max(first_seq), max(last_seq), max(count))"
)
LAST_STATES: Final = ("delivered", "exhausted", "cancelled")  # until it is sent again


def alert(client_id: str, alert_id: str, erased: Erased = NEVER) -> Question:
    """ALERT_COLUMNS of a client's alert with this id, unless it is erased."""
    return _alerts(client_id, f"id = {{i:String}}{kept('alerts', erased)}", 1, {"i": alert_id})


def versions(client_id: str, subscription_id: str, first: int, erased: Erased = NEVER) -> Question:
    """VERSION_COLUMNS of a subscription's version `first` and the one behind it, in this order.

    A subscription that was deleted and made again has versions of the same number: all are among them.
    """
    sql = (
        f"SELECT {VERSION_COLUMNS} FROM {DATABASE}.versions WHERE client_id = {{c:String}}"
        f" AND subscription_id = {{s:String}} AND version IN ({first:d}, {first + 1:d})"
        f"{kept('versions', erased)} ORDER BY kafka_offset LIMIT 1 BY version, in_force_from"
    )
    return Question(sql, {"c": client_id, "s": subscription_id})


def newest_alerts(
    client_id: str, before: int, limit: int, erased: Erased = NEVER, subscription_id: str | None = None
) -> Question:
    """ALERT_COLUMNS of a client's alerts, or of one subscription's, below an offset that are not erased.

    Newest first.
    """
    where = f"kafka_offset < {{x:UInt64}}{kept('alerts', erased)} ORDER BY kafka_offset DESC"
    values: dict[str, Any] = {"x": before}
    if subscription_id is not None:
        where = f"subscription_id = {{s:String}} AND {where}"
        values["s"] = subscription_id
    return _alerts(client_id, where, limit, values)


def alerts_of(
    client_id: str, subscription_id: str, after: int, limit: int, erased: Erased = NEVER
) -> Question:
    """ALERT_COLUMNS of one subscription's alerts after a `seq` that are not erased, in its order."""
    where = f"subscription_id = {{s:String}} AND seq > {{x:UInt64}}{kept('alerts', erased)} ORDER BY seq"
    return _alerts(client_id, where, limit, {"s": subscription_id, "x": after})


def _alerts(client_id: str, where: str, limit: int, values: dict[str, Any]) -> Question:
    sql = (
        f"SELECT {ALERT_COLUMNS} FROM {DATABASE}.alerts WHERE client_id = {{c:String}}"
        f" AND {where} LIMIT {limit:d}"
    )
    return Question(sql, {"c": client_id, **values})


class Between(NamedTuple):
    """From when on, and before when (ms since 1970); None: there is no bound."""

    start: int | None
    end: int | None


ALWAYS: Final = Between(None, None)


class Made(NamedTuple):
    """When a delivery was made (ms since 1970), and its id: their order is that of pages."""

    at: int
    id: str


def deliveries(
    client_id: str,
    *,
    limit: int,
    before: Made | None = None,
    made: Between = ALWAYS,
    subscription_id: str | None = None,
    state: str | None = None,
    among: int | None = None,
    erased: Erased = NEVER,
) -> Question:
    """DELIVERY_COLUMNS of a client's deliveries, newest first, among the newest `among` rows; None: all.

    Only those that were `made` then.

    The last column is how many rows those were: fewer than `among` if there are no more. All rows of a
    delivery are beside each other, so that the newest are found without reading the others. Among all, only
    those that ever were in one of LAST_STATES are read for it. Erased ones are not among them.
    """
    values: dict[str, Any] = {"c": client_id}
    where = [f"client_id = {{c:String}} AND kind != 'health'{kept('deliveries', erased)}"]
    if subscription_id is not None:
        where.append("subscription_id = {subscription:String}")
        values["subscription"] = subscription_id
    if before is not None:
        at = "fromUnixTimestamp64Milli({at:Int64})"
        where.append(f"enqueued_at <= {at} AND (enqueued_at < {at} OR id < {{id:String}})")
        values |= {"at": min(before.at, LAST_MS), "id": before.id}
    for sign, name, value in ((">=", "from", made.start), ("<", "to", made.end)):
        if value is not None:
            where.append(f"enqueued_at {sign} fromUnixTimestamp64Milli({{{name}:Int64}})")
            values[name] = min(value, LAST_MS)
    having = ""
    if state is not None:
        having = " HAVING s = {s:String}"
        values["s"] = state
    rows, bound, number = " AND ".join(where), "", "0"
    if among is None and state in LAST_STATES:
        ended = f"SELECT enqueued_at, id FROM {DATABASE}.deliveries WHERE {rows} AND state = {{s:String}}"
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


def delivery(
    client_id: str,
    *,
    delivery_id: str | None = None,
    alert_id: str | None = None,
    erased: Erased = NEVER,
) -> Question:
    """DELIVERY_COLUMNS of a client's delivery with this id, or of this alert alone, unless it is erased."""
    name, value = ("id", delivery_id) if delivery_id is not None else ("alert_id", alert_id)
    sql = (
        f"SELECT {DELIVERY_COLUMNS} FROM {DATABASE}.deliveries"
        f" WHERE client_id = {{c:String}} AND {name} = {{i:String}} AND kind != 'health'"
        f"{kept('deliveries', erased)} GROUP BY id"
    )
    return Question(sql, {"c": client_id, "i": value})


def digest_with(client_id: str, alert_id: str, erased: Erased = NEVER) -> Question:
    """DELIVERY_COLUMNS of the digest that a client's alert is in, unless it is erased."""
    asked = f"FROM {DATABASE}.alerts WHERE client_id = {{c:String}} AND id = {{i:String}} LIMIT 1"
    sql = (
        f"WITH (SELECT CAST(subscription_id AS Nullable(String)) {asked}) AS name,"
        f" (SELECT toNullable(seq) {asked}) AS number"
        f" SELECT {DELIVERY_COLUMNS} FROM {DATABASE}.deliveries WHERE client_id = {{c:String}}"
        " AND subscription_id = name AND kind = 'digest' AND number BETWEEN first_seq AND last_seq"
        f"{kept('deliveries', erased)} GROUP BY id"
    )
    return Question(sql, {"c": client_id, "i": alert_id})


def last_states() -> Question:
    """Of every delivery with alerts: its alert's id, last state, subscription, first and last `seq`."""
    sql = (
        "SELECT any(alert_id), argMax(state, kafka_offset), any(subscription_id), max(first_seq),"
        f" max(last_seq) FROM {DATABASE}.deliveries"
        " WHERE client_id != '' AND kind IN ('alert', 'digest') GROUP BY id"
    )
    return Question(sql, {})


def places_of_alerts() -> Question:
    """Partition and offset of every alert recorded."""
    sql = f"SELECT kafka_partition, kafka_offset FROM {DATABASE}.alerts WHERE client_id != ''"
    return Question(sql, {})
