"""What a query reads from: which names are there, and the client's rows in their place."""

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
            if _defines(parent, inside, table.name):
                return True
        else:
            defined = parent.args.get("with_")
            if defined is not None and defined is not child and _defines(defined, None, table.name):
                return True
        child = parent
    return False


def _defines(defined: exp.With, inside: exp.CTE | None, name: str) -> bool:
    for cte in defined.expressions:
        if cte is inside and not defined.args.get("recursive"):
            return False
        if cte.alias == name and isinstance(cte.this, exp.Query):
            return True
        if cte is inside:
            return False
    return False


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
