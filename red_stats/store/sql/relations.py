"""What a client's SQL reads under the names `measurements`, `alerts` and `deliveries`: its own rows only."""

from functools import cache
from typing import Final, NamedTuple

from sqlglot import exp

from red_common.events import CLIENT_ID
from red_stats.domain.erasure import Erased
from red_stats.store.queries import DATABASE, POSITION, Rebuilding, kept
from red_stats.store.sql.dialect import Plain, quoted


class Column(NamedTuple):
    """A column that clients see: its name, its type, and what it is made of."""

    name: str
    type: str
    made_of: str


class Relation(NamedTuple):
    """What clients see of a table."""

    name: str
    columns: tuple[Column, ...]
    rows: str = ""  # which of the client's rows, as SQL


_TIME: Final = "DateTime64(3, 'UTC')"


def _plain(type: str, *names: str) -> list[Column]:
    return [Column(name, type, name) for name in names]


def _names(*names: str) -> list[Column]:
    """Columns of few values, out of their dictionary: functions run on all of it, others' values included."""
    return [Column(name, "String", f"CAST({name} AS String)") for name in names]


def _optional(type: str, *names: str) -> list[Column]:
    """Columns that hold NULL where the table holds the default of the type."""
    return [
        Column(name, f"Nullable({type})", f"nullIf({name}, defaultValueOfArgumentType({name}))")
        for name in names
    ]


def _steps(*names: str) -> list[Column]:
    """Columns that hold NULL where the table holds -1."""
    return [Column(name, "Nullable(Int32)", f"nullIf({name}, -1)") for name in names]


def _share(name: str, stored: str) -> Column:
    return Column(name, "Float64", f"{stored} / 10000")


RELATIONS: Final = {
    relation.name: relation
    for relation in (
        Relation(
            "measurements",
            (
                *_plain("String", "image_id"),
                *_names("client_id"),
                *_plain(_TIME, "measured_at"),
                _share("red", "red_bp"),
                *_plain("UInt64", "red_pixels", "pixels"),
                _share("red_excess", "red_excess_bp"),
                _share("red_channel", "red_channel_bp"),
                *_plain("UInt32", "width", "height"),
                *_names("format"),
                *_plain("UInt64", "bytes"),
                *_plain("String", "sha256"),
                *_names("rule", "decoder"),
                Column("position", "String", POSITION),
            ),
        ),
        Relation(
            "alerts",
            (
                *_plain("String", "id"),
                *_names("client_id", "subscription_id"),
                *_plain("UInt32", "version"),
                *_plain("UInt64", "seq", "prev_seq"),
                *_plain("String", "image_id"),
                _share("red", "red_bp"),
                _share("threshold", "threshold_bp"),
                *_plain(_TIME, "measured_at"),
                *_plain("String", "position"),
            ),
        ),
        Relation(
            "deliveries",
            (
                *_plain("String", "id", "webhook_id"),
                *_optional("String", "alert_id"),
                *_names("client_id", "subscription_id"),
                *_plain("UInt32", "version"),
                *_names("state"),
                *_plain("UInt16", "attempt"),
                *_plain(_TIME, "at"),
                *_optional("UInt16", "status"),
                *_optional("String", "error"),
                *_plain("UInt32", "ms"),
                *_optional(_TIME, "due_at"),
                *_names("kind"),
                *_plain("UInt64", "first_seq", "last_seq"),
                *_plain("UInt32", "count"),
                Column("because", "Nullable(String)", "nullIf(CAST(because AS String), '')"),
                *_steps("dns_ms", "connect_ms", "tls_ms", "first_byte_ms"),
                *_plain(_TIME, "enqueued_at"),
                Column("position", "String", POSITION),
            ),
            "attempt > 0",
        ),
    )
}

#: Tables of ours that are no business of clients.
HIDDEN: Final = ("daily", "migrations", "versions")


def own_rows(client_id: str) -> str:
    """The condition on a table of ours that leaves the client's rows: no marker rows, nobody else's.

    Raises:
        ValueError: it is no client id, and might be more than a name.
    """
    if not CLIENT_ID.fullmatch(client_id):
        raise ValueError(f"{client_id[:100]!r} is no client id")
    return f"client_id = {quoted(client_id)}"


def table_filters(client_id: str, erased: Erased) -> str:
    """The setting `additional_table_filters` that leaves the client's rows of every table of ours.

    Rows that have been erased do not show, though it takes a while until they are gone. Of tables that no
    client knows, none show, nor of those that are made anew.
    """
    conditions = {name: f"{own_rows(client_id)}{kept(name, erased)}" for name in RELATIONS}
    hidden = (*HIDDEN, *(Rebuilding(name).beside for name in (*RELATIONS, *HIDDEN)))
    conditions |= dict.fromkeys(hidden, "0")
    filters = (f"'{DATABASE}.{name}': {quoted(condition)}" for name, condition in conditions.items())
    return "{" + ", ".join(filters) + "}"


def reading(name: str, client_id: str) -> exp.Expr:
    """The SELECT that stands for one of RELATIONS.

    The client's rows are left by PREWHERE: conditions of its text, which are pushed down beside a WHERE,
    might run on the rows of others, and tell of them by their errors.
    """
    own = exp.condition(f"{name}.{own_rows(client_id)}", dialect=Plain)
    select = _parsed(name).copy()
    select.set("prewhere", exp.PreWhere(this=own))
    return select


@cache
def _parsed(name: str) -> exp.Select:
    columns = ", ".join(f"{column.made_of} AS {column.name}" for column in RELATIONS[name].columns)
    where = f" WHERE {RELATIONS[name].rows}" if RELATIONS[name].rows else ""
    found: exp.Expr = exp.maybe_parse(f"SELECT {columns} FROM {DATABASE}.{name}{where}", dialect=Plain)
    assert isinstance(found, exp.Select)
    return found
