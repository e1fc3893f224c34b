"""What a query may consist of: kinds of nodes, their arguments, functions, types and names."""

import re
from collections.abc import Callable, Mapping
from typing import Final

from sqlglot import exp

from red_stats.store.sql import functions
from red_stats.store.sql.dialect import Plain
from red_stats.store.sql.errors import SqlRefused
from red_stats.store.sql.reading import safely
from red_stats.store.sql.types import check_columns_in_text, check_type, check_type_in_text

_QUERY: Final = frozenset(
    (
        *("expressions", "from_", "joins", "where", "group", "having", "order", "limit", "offset"),
        *("distinct", "with_", "windows", "qualify"),
    )
)
_SET: Final = frozenset(["this", "expression", "distinct", "with_", "order", "limit", "offset"])
#: What a query may consist of; of those with arguments that change what is read, the arguments, too.
_NODES: Final[dict[type[exp.Expr], frozenset[str] | None]] = {
    exp.Select: _QUERY,
    exp.Union: _SET,
    exp.Intersect: _SET,
    exp.Except: _SET,
    exp.Subquery: frozenset(("this", "alias", "with_")),
    exp.Table: frozenset(("this", "db", "alias")),
    exp.TableAlias: frozenset(("this",)),
    exp.CTE: frozenset(("this", "alias", "scalar")),
    exp.With: frozenset(("expressions", "recursive")),
    exp.Join: frozenset(["this", "expressions", "on", "using", "side", "kind", "method", "global_"]),
    exp.In: frozenset(["this", "expressions", "query", "field"]),
    exp.Placeholder: frozenset(("this", "kind")),
    exp.Anonymous: frozenset(("this", "expressions")),
    exp.AnonymousAggFunc: frozenset(("this", "expressions")),
    exp.ParameterizedAgg: frozenset(("this", "expressions", "params")),
    exp.Cast: frozenset(("this", "to")),
    exp.CastToStrType: frozenset(("this", "to")),
    exp.Star: frozenset(("except_", "replace")),
    exp.Limit: frozenset(("expression", "expressions")),
    exp.Offset: frozenset(("expression",)),
    exp.Group: frozenset(["expressions", "grouping_sets", "cube", "rollup", "totals", "all"]),
    **dict.fromkeys(
        (
            exp.Add, exp.Alias, exp.Aliases, exp.And, exp.Array, exp.AtTimeZone, exp.Between,
            exp.BitString, exp.Boolean, exp.Bracket, exp.Case, exp.Column, exp.Cube, exp.DataType,
            exp.DataTypeParam, exp.Distinct, exp.Div, exp.Dot, exp.DPipe, exp.EQ, exp.Exists, exp.Filter,
            exp.From, exp.GT, exp.GTE, exp.GroupingSets, exp.Having, exp.HexString, exp.ILike,
            exp.Identifier, exp.If, exp.IntDiv, exp.Interval, exp.Is, exp.LT, exp.LTE, exp.Lambda,
            exp.Like, exp.Literal, exp.Mod, exp.Mul, exp.NEQ, exp.Neg, exp.Not, exp.Null, exp.NullSafeEQ,
            exp.Or, exp.Order, exp.Ordered, exp.Paren, exp.Qualify, exp.Rollup, exp.Sub, exp.Tuple,
            exp.Values, exp.Var, exp.Where, exp.Window, exp.WindowSpec, exp.WithFill,
        )
    ),
}  # fmt: skip

CALLS: Final = (exp.Anonymous, exp.AnonymousAggFunc, exp.ParameterizedAgg)

_IDENTIFIER: Final = re.compile(r"[^\W\d][\w .:%()*,+/<>=#&@!?-]{0,63}|\d{1,9}")
_WORDS: Final = re.compile(r"[A-Za-z_ ]{0,40}", re.ASCII)
_NUMBER: Final = re.compile(r"\d*\.?\d*(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
#: What the engine answers about itself even where it is but a name.
_ABOUT_SERVER: Final = frozenset(
    (
        *("currentuser", "current_user", "session_user", "user", "currenthandler", "currentrequesturl"),
        *("currentdatabase", "current_database", "database", "schema"),
    )
)


def check(node: exp.Expr, constants: Mapping[str, str]) -> None:
    """Refuse what is not known to be harmless; `constants` are functions that may be called besides.

    Raises:
        SqlRefused: this node.
    """
    if type(node) not in _NODES:
        what = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(node).__name__).upper()
        raise SqlRefused("not_allowed", f"{what[:40]} is not allowed here.")
    allowed = _NODES[type(node)]
    for name, value in node.args.items():
        if not value and value != 0:
            continue
        if allowed is not None and name not in allowed:
            raise SqlRefused(_reason_of(name), f"{name.strip('_').upper()[:40]} is not allowed here.")
        if isinstance(value, str) and not isinstance(node, _OF_TEXT) and not _WORDS.fullmatch(value):
            raise SqlRefused("not_allowed", f"{value[:40]!r} is not allowed here.")
    more = _CHECKS.get(type(node))
    if more is not None:
        more(node)
    if isinstance(node, CALLS):
        _check_call(node, constants)


def _reason_of(argument: str) -> str:
    return {"settings": "settings", "into": "into", "format": "format"}.get(argument, "not_allowed")


def _check_call(call: exp.Expr, constants: Mapping[str, str]) -> None:
    name = call.this
    if not isinstance(name, str):
        raise SqlRefused("function", "A function must be called by its plain name.")
    if isinstance(call.parent, exp.Table):
        if name not in functions.TABLE_FUNCTIONS:
            raise SqlRefused("table_function", f"The table function {name[:60]} is not allowed.")
        return
    is_constant = name.lower() in constants and not call.expressions
    if not is_constant and not functions.is_allowed(name):
        raise SqlRefused("function", f"The function {name[:60]} is not allowed.")
    if name.lower() in functions.TYPED:
        _check_written_type(call.expressions[-1] if call.expressions else None)


def _reads_what_drivers_do(node: exp.Expr) -> bool:
    """Whether it stands where `database` is a column of system.tables or system.columns."""
    select = node.find_ancestor(exp.Select)
    table = select.args["from_"].this if select and select.args.get("from_") else None
    return isinstance(table, exp.Table) and table.db == "system" and table.name in ("tables", "columns")


def _check_column(node: exp.Expr) -> None:
    if node.args.get("table") or (node.name == "database" and _reads_what_drivers_do(node)):
        return
    if node.name.lower() in _ABOUT_SERVER:
        raise SqlRefused("name", f"The name {node.name[:60]} is the server's own: put the table before it.")


def _check_identifier(node: exp.Expr) -> None:
    if not _IDENTIFIER.fullmatch(node.name):
        raise SqlRefused("name", f"The name {node.name[:60]!r} has other characters than letters, digits, _.")


def check_literal(node: exp.Expr) -> None:
    """Refuse a string or a number of which the engine might make something else."""
    text = node.this
    if node.is_string:
        if any("\ud800" <= one <= "\udfff" for one in text):
            raise SqlRefused("unreadable", "A string is no UTF-8.")
    elif not _NUMBER.fullmatch(text):
        raise SqlRefused("unreadable", f"{text[:40]!r} is no number.")


def _check_word(node: exp.Expr) -> None:
    if not _WORDS.fullmatch(node.name):
        raise SqlRefused("not_allowed", f"{node.name[:40]!r} is not allowed here.")


def _check_hex(node: exp.Expr) -> None:
    if not re.fullmatch(r"[0-9a-fA-F]+", str(node.this), re.ASCII):
        raise SqlRefused("unreadable", "A number cannot be read.")


def _check_type(node: exp.Expr) -> None:
    if isinstance(node.parent, exp.DataType):
        return  # judged with it
    check_type(safely(lambda: node.sql(dialect=Plain)))


def _check_lambda(node: exp.Expr) -> None:
    """With a name it could be called under that of any function, as often as one likes."""
    if not (isinstance(node.parent, CALLS) and functions.takes_function(node.parent.name)):
        raise SqlRefused("function", "x -> ... stands in the brackets of a function that takes it.")


def _check_cast(node: exp.Expr) -> None:
    _check_written_type(node.args["to"])


def _check_written_type(node: exp.Expr | None) -> None:
    if node is None or not node.is_string:
        raise SqlRefused("type", "A type must be written out.")
    check_type_in_text(node.name)


def _check_placeholder(node: exp.Expr) -> None:
    kind = node.args.get("kind")
    if not isinstance(kind, exp.DataType):
        raise SqlRefused("parameter", "A parameter is {name:Type}, with a type and not {name:Identifier}.")


def _check_in(node: exp.Expr) -> None:
    """A name that stands alone behind IN, also within parentheses, is a table to the engine."""
    behind = [*node.expressions, *([node.args["field"]] if node.args.get("field") else [])]
    alone = behind[0].unnest() if len(behind) == 1 else None
    while isinstance(alone, exp.Tuple) and len(alone.expressions) == 1:
        alone = alone.expressions[0].unnest()
    if isinstance(alone, (exp.Column, exp.Identifier, exp.Dot, exp.Table, exp.Alias, exp.Var)):
        raise SqlRefused(
            "table", "Write IN (SELECT ... FROM name) for a table, IN {x:Array(T)} for an array."
        )


def _check_source(node: exp.Expr) -> None:
    """Only what is judged as a table may be read: within ARRAY JOIN sqlglot takes tables for columns."""
    if isinstance(node, exp.Join) and node.kind == "ARRAY":
        return
    if node.expressions or not isinstance(node.this, (exp.Table, exp.Subquery, exp.Values)):
        raise SqlRefused("table", "FROM and JOIN take a table, (SELECT ...), numbers or values.")


def _check_values(node: exp.Expr) -> None:
    """What comes first may be the types of the columns, which must be written out then."""
    first = node.expressions[0]
    first = first.expressions[0] if isinstance(first, exp.Tuple) else first
    while isinstance(first, (exp.Tuple, exp.Paren)) and len(first.expressions or [first.this]) == 1:
        first = (first.expressions or [first.this])[0]
    if not isinstance(first, (exp.Literal, exp.Tuple)):
        raise SqlRefused("type", "VALUES begins with the types of its columns, or with a row.")
    if first.is_string:
        check_columns_in_text(first.name)


def _check_exists(node: exp.Expr) -> None:
    if not isinstance(node.this, exp.Query) or isinstance(node.this, exp.Table):
        raise SqlRefused("table", "EXISTS takes a SELECT.")


_OF_TEXT: Final = (
    *CALLS, exp.BitString, exp.DataType, exp.HexString, exp.Identifier, exp.Literal, exp.Placeholder, exp.Var
)  # fmt: skip
_CHECKS: Final[dict[type[exp.Expr], Callable[[exp.Expr], None]]] = {
    exp.Identifier: _check_identifier,
    exp.Literal: check_literal,
    exp.Var: _check_word,
    exp.HexString: _check_hex,
    exp.BitString: _check_hex,
    exp.DataType: _check_type,
    exp.CastToStrType: _check_cast,
    exp.Column: _check_column,
    exp.Placeholder: _check_placeholder,
    exp.In: _check_in,
    exp.Lambda: _check_lambda,
    exp.From: _check_source,
    exp.Join: _check_source,
    exp.Exists: _check_exists,
    exp.Values: _check_values,
}


#: How many of a kind one text may have: the engine and we take longer for each than for the one before.
MOST: Final[dict[type[exp.Expr], tuple[int, str]]] = {
    exp.DPipe: (200, "|| (use concat)"),
    exp.Table: (50, "tables"),
}


def check_numbers(tree: exp.Expr) -> None:
    """Refuse a text that has too many of something.

    Raises:
        SqlRefused: it has.
    """
    for kind, (most, called) in MOST.items():
        if sum(1 for _ in tree.find_all(kind)) > most:
            raise SqlRefused("too_complex", f"The text has more than {most} {called}.")
