"""The fence before the engine: what a client's text may be, and the SQL that is run instead of it.

What is run is generated from the tree that was judged. Whatever is not known to be harmless is refused:
kinds of nodes, their arguments, functions, types, names of tables.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from sqlglot import ErrorLevel, exp

from red_stats.store.sql import system_tables
from red_stats.store.sql.checks import CALLS, check, check_literal, check_numbers
from red_stats.store.sql.dialect import Plain
from red_stats.store.sql.errors import SqlRefused
from red_stats.store.sql.functions import takes_function
from red_stats.store.sql.growth import check_growth
from red_stats.store.sql.reading import parsed, placed, safely, wrap
from red_stats.store.sql.searching import bound_searches
from red_stats.store.sql.sources import check_table, put_rows

#: Arguments that are no name, whatever the engine does with them.
_NO_NAMES: Final = (*CALLS, exp.Array, exp.Cast, exp.Lambda, exp.Literal)


MOST_OF_VALUES: Final = 1 << 20  # characters of all values in all their places, as they may be escaped


class Judged(NamedTuple):
    """What is run, the FORMAT that the text asks for, and the names of the parameters that it used."""

    sql: str
    format: str | None
    parameters: frozenset[str]


def judge(text: str, client_id: str, values: Mapping[str, str | None], *, drivers: bool = False) -> Judged:
    """The SQL to run for a client's text, which reads nothing but the client's rows.

    `values` are those of `{name:Type}` parameters (`parameters.py`). With `drivers`, what drivers ask of the
    server when they connect is answered as well.

    Raises:
        SqlRefused: it is not one harmless SELECT.
    """
    tree = parsed(text)
    check_numbers(tree)
    format = _format_of(tree)
    constants = system_tables.constants(client_id) if drivers else {}
    for node in tree.walk():
        with placed(node):
            check(node, constants)
    check_growth(tree)
    used = frozenset(node.name for node in tree.find_all(exp.Placeholder))
    for table in list(tree.find_all(exp.Table)):
        with placed(table):
            check_table(table, drivers)
    for table in list(tree.find_all(exp.Table)):
        put_rows(table, client_id)
    for call in list(tree.find_all(*CALLS)):
        if call.name.lower() in constants:
            _put_constant(call, constants[call.name.lower()])
    for call in list(tree.find_all(*CALLS)):
        _keep_from_functions(call)
    placeholders = list(tree.find_all(exp.Placeholder))
    if sum(2 * len(values.get(one.name) or "") for one in placeholders) > MOST_OF_VALUES:
        raise SqlRefused("too_long", "The values of parameters, where the text names them, are too long.")
    for parameter in placeholders:
        _put_value(parameter, values)
    bound_searches(tree)
    return Judged(_generated(tree), format, used)


def _format_of(tree: exp.Expr) -> str | None:
    """The FORMAT of the text, which is taken off: the engine is told another way."""
    format = tree.args.get("format")
    tree.set("format", None)
    return None if format is None else str(format.name)


def _keep_from_functions(call: exp.Expr) -> None:
    """Keep the engine from taking an argument for a function's name: arrayMap(file, [path]) reads a file."""
    for argument in call.expressions if takes_function(call.name) else ():
        value = argument
        while isinstance(value, (exp.Paren, exp.Alias)):
            value = value.this
        if not isinstance(value, _NO_NAMES):
            wrap(value, "identity")


def _put_constant(call: exp.Expr, value: str) -> None:
    literal: exp.Expr = exp.Literal.string(value)
    if isinstance(call.parent, exp.Select) and call.arg_key == "expressions":
        literal = exp.alias_(literal, f"{call.name}()", quoted=True)
    call.replace(literal)


def _put_value(parameter: exp.Placeholder, values: Mapping[str, str | None]) -> None:
    """The parameter's value, cast to its type, as the engine itself would put it."""
    if parameter.name not in values:
        raise SqlRefused("parameter", f"The parameter {parameter.name[:60]} has no value.")
    value = values[parameter.name]
    literal = exp.null() if value is None else exp.Literal.string(value)
    check_literal(literal) if value is not None else None
    parameter.replace(exp.Cast(this=literal, to=parameter.args["kind"].copy()))


def _generated(tree: exp.Expr) -> str:
    return str(
        safely(
            lambda: tree.sql(
                dialect=Plain,
                identify=True,
                comments=False,
                normalize_functions=False,
                unsupported_level=ErrorLevel.RAISE,
            )
        )
    )
