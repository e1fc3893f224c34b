"""What drivers ask of `system` when they connect, answered from literal rows about our three tables alone."""

from collections.abc import Sequence
from functools import cache
from typing import Final

from sqlglot import exp

from red_stats.store.queries import DATABASE
from red_stats.store.sql.dialect import Plain, quoted
from red_stats.store.sql.relations import RELATIONS

VERSION: Final = "26.9.1.1"  # by which drivers choose what they ask; not that of the engine

Rows = Sequence[tuple[str | int, ...]]
_COLUMNS: Final[Rows] = [
    (DATABASE, relation.name, column.name, column.type, position)
    for relation in RELATIONS.values()
    for position, column in enumerate(relation.columns, 1)
]
_TABLES: Final[dict[str, tuple[str, Rows]]] = {
    "one": ("dummy UInt8", [(0,)]),
    "databases": ("name String, engine String, comment String", [(DATABASE, "Atomic", "")]),
    "tables": (
        "database String, name String, engine String, comment String, is_temporary UInt8",
        [(DATABASE, name, "View", "", 0) for name in RELATIONS],
    ),
    "columns": (
        "database String, table String, name String, type String, position UInt64, default_kind String,"
        " default_expression String, comment String, is_in_primary_key UInt8, is_in_sorting_key UInt8",
        [(*row, "", "", "", 0, 0) for row in _COLUMNS],
    ),
    # that nothing can be changed is all there is to say
    "settings": (
        "name String, value String, changed UInt8, description String, type String, readonly UInt8",
        [("readonly", "1", 1, "", "UInt64", 1)],
    ),
}
NAMES: Final = tuple(_TABLES)


@cache
def reading(name: str) -> exp.Expr:
    """The SELECT that stands for `system.<name>`."""
    structure, rows = _TABLES[name]
    values = ", ".join(f"({', '.join(map(_literal, row))})" for row in rows)
    return exp.maybe_parse(f"SELECT * FROM values({quoted(structure)}, {values})", dialect=Plain)


def constants(client_id: str) -> dict[str, str]:
    """Functions about the server that drivers call, by lower-case name, and what they are to hear."""
    return {
        "version": VERSION,
        "timezone": "UTC",
        "servertimezone": "UTC",
        "currentdatabase": DATABASE,
        "currentuser": client_id,
        "user": client_id,
    }


def _literal(value: str | int) -> str:
    return quoted(value) if isinstance(value, str) else str(value)
