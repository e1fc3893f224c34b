"""What the store knows of deliveries that are to be sent again, as SQL with its parameters."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from red_stats.domain.digests import LISTED
from red_stats.domain.erasure import Erased
from red_stats.store.alert_queries import ALERT_COLUMNS
from red_stats.store.queries import DATABASE, LAST_MS, Question, kept

_ENDED: Final = (
    "SELECT id, any(subscription_id) AS subscription, any(alert_id) AS alert, any(kind) AS what,"
    " max(first_seq) AS first, max(last_seq) AS last, max(count) AS alerts,"
    " argMax(state, kafka_offset) AS s, max(attempt) AS tries,"
    " toUnixTimestamp64Milli(min(enqueued_at)) AS made"
    f" FROM {DATABASE}.deliveries WHERE client_id = {{c:String}} AND kind != 'health'"
)
_COLUMNS: Final = "id, subscription, alert, what, first, last, alerts, s, tries, made"
UNDELIVERED: Final = ("exhausted", "cancelled")


class Point(NamedTuple):
    """Behind which alerts are: those with a higher `seq`, or from a time on (ms since 1970); one is None."""

    after_seq: int | None
    since: int | None

    @property
    def condition(self) -> str:
        """The condition of an alert, with the parameter `point`."""
        if self.after_seq is not None:
            return "seq > {point:UInt64}"
        return "measured_at >= fromUnixTimestamp64Milli({point:Int64})"

    @property
    def value(self) -> int:
        """Of the parameter."""
        if self.after_seq is not None:
            return self.after_seq
        assert self.since is not None
        return min(self.since, LAST_MS)


class Delivery(NamedTuple):
    """A delivery as it stands in the store; `made` in ms, 0 `first` in rows of earlier versions."""

    id: str
    subscription_id: str
    alert_id: str
    kind: str
    first: int
    last: int
    alerts: int
    state: str
    attempts: int
    made: int


def delivery(client_id: str, delivery_id: str, erased: Erased) -> Question:
    """The fields of a `Delivery`, of the client's delivery with this id; no row: it has none."""
    sql = f"{_ENDED} AND id = {{d:String}}{kept('deliveries', erased)} GROUP BY id"
    return Question(sql, {"c": client_id, "d": delivery_id})


def to_recover(
    client_id: str, subscription_id: str, point: Point, erased: Erased, *, every: bool, limit: int
) -> Question:
    """The fields of each `Delivery` with an alert behind a point that ended without success, oldest first.

    With `every` of all that have ended.
    """
    states = (*UNDELIVERED, "delivered") if every else UNDELIVERED
    ended = (
        f"{_ENDED} AND subscription_id = {{s:String}} AND kind IN ('alert', 'digest')"
        f"{kept('deliveries', erased)} GROUP BY id HAVING s IN ({', '.join(map(repr, states))})"
    )
    behind = _behind(point, erased)
    in_digests = "last > {point:UInt64}" if point.after_seq is not None else f"first IN ({_hold_one(behind)})"
    sql = (
        f"WITH ended AS ({ended}) SELECT {_COLUMNS} FROM ended"
        f" WHERE if(what = 'digest', {in_digests}, alert IN (SELECT id {behind}))"
        f" ORDER BY made, id LIMIT {limit:d}"
    )
    return Question(sql, {"c": client_id, "s": subscription_id, "point": point.value})


def never_made(client_id: str, subscription_id: str, point: Point, erased: Erased, limit: int) -> Question:
    """ALERT_COLUMNS of alerts behind a point that are in no delivery at all, though a later alert is.

    Role deliver takes alerts in their order: those behind the last one that is in a delivery may wait for it,
    or for a digest.
    """
    of_it = "client_id = {c:String} AND subscription_id = {s:String}"
    sql = (
        f"SELECT {ALERT_COLUMNS} {_behind(point, erased)}"
        f" AND seq < (SELECT max(last_seq) FROM {DATABASE}.deliveries WHERE {of_it})"
        f" AND id NOT IN (SELECT alert_id FROM {DATABASE}.deliveries WHERE {of_it})"
        f" AND seq NOT IN (SELECT arrayJoin(range(first_seq, last_seq + 1)) FROM {DATABASE}.deliveries"
        f" WHERE {of_it} AND kind = 'digest') ORDER BY seq LIMIT {limit:d}"
    )
    values = {"c": client_id, "s": subscription_id, "point": point.value}
    return Question(sql, values)


def alerts_by_id(client_id: str, ids: Sequence[str], erased: Erased) -> Question:
    """ALERT_COLUMNS of a client's alerts with these ids."""
    sql = (
        f"SELECT {ALERT_COLUMNS} FROM {DATABASE}.alerts"
        f" WHERE client_id = {{c:String}} AND id IN {{ids:Array(String)}}{kept('alerts', erased)}"
    )
    return Question(sql, {"c": client_id, "ids": list(ids)})


def amounts_of_digests(
    client_id: str, subscription_id: str, ranges: Sequence[tuple[int, int]], erased: Erased
) -> Question:
    """Of each range of `seq`, ascending and apart: its first, its alerts, the highest amount (bp)."""
    sql = (
        f"SELECT first, uniqExact(seq), max(red_bp) FROM (SELECT seq, red_bp, {_FIRST} AS first,"
        f" transform(first, {{firsts:Array(UInt64)}}, {{lasts:Array(UInt64)}}, toUInt64(0)) AS last"
        f" {_within(erased)}) WHERE seq BETWEEN first AND last GROUP BY first"
    )
    return Question(sql, _of_ranges(client_id, subscription_id, ranges))


def listed_of_digests(
    client_id: str, subscription_id: str, ranges: Sequence[tuple[int, int]], erased: Erased
) -> Question:
    """ALERT_COLUMNS of the LISTED first alerts of each range of `seq` and of its last one, by `seq`."""
    sql = (
        f"SELECT {ALERT_COLUMNS} {_within(erased)} AND (seq < {_FIRST} + {LISTED:d}"
        " OR has({lasts:Array(UInt64)}, seq)) ORDER BY seq"
    )
    return Question(sql, _of_ranges(client_id, subscription_id, ranges))


_FIRST: Final = "roundDown(seq, {firsts:Array(UInt64)})"


def _within(erased: Erased) -> str:
    return (
        f"FROM {DATABASE}.alerts WHERE client_id = {{c:String}} AND subscription_id = {{s:String}}"
        f" AND seq BETWEEN {{low:UInt64}} AND {{high:UInt64}}{kept('alerts', erased)}"
    )


def _of_ranges(client_id: str, subscription_id: str, ranges: Sequence[tuple[int, int]]) -> dict[str, Any]:
    firsts, lasts = [first for first, _ in ranges], [last for _, last in ranges]
    return {
        "c": client_id, "s": subscription_id, "firsts": firsts, "lasts": lasts, "low": firsts[0],
        "high": lasts[-1],
    }  # fmt: skip


def _hold_one(behind: str) -> str:
    """The digests, by their first `seq`, with one of the alerts in their range."""
    of_digests = "FROM (SELECT first, last FROM ended WHERE what = 'digest' ORDER BY first)"
    firsts = f"(SELECT arrayConcat([toUInt64(0)], groupArray(first)) {of_digests})"
    lasts = f"(SELECT arrayConcat([toUInt64(0)], groupArray(last)) {of_digests})"
    return (
        f"SELECT DISTINCT begin FROM (SELECT seq, roundDown(seq, {firsts}) AS begin,"
        f" transform(begin, {firsts}, {lasts}, toUInt64(0)) AS end {behind}) WHERE seq BETWEEN begin AND end"
    )


def waiting(client_id: str, subscription_id: str) -> Question:
    """How many deliveries of a subscription, and how many of its client, are pending or held."""
    sql = (
        "SELECT countIf(name = {s:String}), count() FROM (SELECT any(subscription_id) AS name,"
        f" argMax(state, kafka_offset) AS s FROM {DATABASE}.deliveries"
        " WHERE client_id = {c:String} AND kind != 'health' GROUP BY id) WHERE s IN ('pending', 'held')"
    )
    return Question(sql, {"c": client_id, "s": subscription_id})


def _behind(point: Point, erased: Erased) -> str:
    return (
        f"FROM {DATABASE}.alerts WHERE client_id = {{c:String}} AND subscription_id = {{s:String}}"
        f" AND {point.condition}{kept('alerts', erased)}"
    )
