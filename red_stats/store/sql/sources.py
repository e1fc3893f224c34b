"""What a query reads from: which names are there, and the client's rows in their place."""

from collections.abc import Iterator

from sqlglot import exp

from red_stats.store.queries import DATABASE
from red_stats.store.sql import relations, system_tables
from red_stats.store.sql.errors import SqlRefused


def check_table(table: exp.Table, drivers: bool) -> None:
    """Refuse a table that is neither ours nor one that WITH defines.

    Raises:
        SqlRefused: this one.
    """
    if isinstance(table.this, exp.Func):
        return  # a table function, judged as a call
    if not isinstance(table.this, exp.Identifier):
        raise SqlRefused("table", "A table must be given by its name.")
    name, database = table.name, table.text("db")
    if name in relations.RELATIONS and database in ("", DATABASE):
        if not database and _is_cte(table):
            raise SqlRefused("table", f"{name} is a table: call what WITH defines something else.")
        return
    if drivers and database == "system" and name in system_tables.NAMES:
        return
    if database or not _is_cte(table):
        shown = f"{database}.{name}" if database else name
        raise SqlRefused("table", f"There is no table {shown[:80]!r}, only {', '.join(relations.RELATIONS)}.")


def _is_cte(table: exp.Table) -> bool:
    """Whether WITH defines the name where it stands: before it, or around it if it is recursive."""
    child: exp.Expr = table
    inside: exp.CTE | None = None
    while (parent := child.parent) is not None:
        if isinstance(parent, exp.CTE):
            inside = parent
        if isinstance(parent, exp.With):
            if _defines(parent, inside, table):
                return True
        else:
            defined = parent.args.get("with_")
            if defined is not None and defined is not child and _defines(defined, None, table):
                return True
        child = parent
    return False


def _defines(defined: exp.With, inside: exp.CTE | None, table: exp.Table) -> bool:
    """Whether it makes the name a table; one that it makes a value as well may be either to the engine."""
    called = [cte for cte in defined.expressions if cte.alias == table.name]
    if any(cte.args.get("scalar") or not isinstance(cte.this, exp.Query) for cte in called):
        return False
    for cte in defined.expressions:
        if inside is not None and cte is inside:
            return (
                cte.alias == table.name and bool(defined.args.get("recursive")) and _repeats(cte.this, table)
            )
        if cte.alias == table.name:
            return True
    return False


def _repeats(query: exp.Expr, table: exp.Table) -> bool:
    """Whether the table stands behind the first SELECT of a UNION, where alone it is the query itself."""
    if not isinstance(query, exp.Union):
        return False
    first: exp.Expr = query
    while isinstance(first, (exp.SetOperation, exp.Subquery)):
        first = first.this
    return all(parent is not first for parent in _around(table))


def _around(node: exp.Expr) -> Iterator[exp.Expr]:
    while node.parent is not None:
        node = node.parent
        yield node


def put_rows(table: exp.Table, client_id: str) -> None:
    """A SELECT of the client's rows in place of a table."""
    if isinstance(table.this, exp.Func):
        return
    name, database = table.name, table.text("db")
    if database == "system":
        rows = system_tables.reading(name).copy()
    elif name in relations.RELATIONS:
        rows = relations.reading(name, client_id)
    else:
        return
    called = table.alias or name
    alias = exp.TableAlias(this=exp.to_identifier(called, quoted=True))
    table.replace(exp.Subquery(this=rows, alias=alias))
