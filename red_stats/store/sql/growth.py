"""Types and columns that grow by a factor with every level: the engine has no limit for work on them."""

from math import prod
from typing import Final

from sqlglot import exp

from red_stats.store.sql.checks import CALLS
from red_stats.store.sql.errors import SqlRefused

MOST: Final = 1 << 14
#: Functions whose type is made of those of all arguments.
_MADE_OF_ALL: Final = frozenset(("tuple", "tupleconcat", "concat", "arrayzip", "map", "mapfromarrays"))


def check_growth(tree: exp.Expr) -> None:
    """Refuse a text of which the levels, were they all within each other, make more than MOST of one value.

    Raises:
        SqlRefused: they do.
    """
    if prod(max(1, _width(node)) for node in tree.walk()) > MOST:
        detail = "The text has too many tuples, concatenations or stars: types may grow by them."
        raise SqlRefused("too_complex", detail)


def _width(node: exp.Expr) -> int:
    if isinstance(node, exp.Select):
        joined = 1 + len(node.args.get("joins") or [])
        return sum(joined if isinstance(one, exp.Star) else one.is_star for one in node.expressions)
    if isinstance(node, exp.DPipe):
        return sum(map(_is_named, (node.this, node.expression)))
    if isinstance(node, exp.Tuple) or (isinstance(node, CALLS) and _is_made_of_all(node.name.lower())):
        if any(one.is_star for one in node.expressions):
            raise SqlRefused("not_allowed", "A tuple of * is not allowed here.")
        return sum(map(_is_named, node.expressions))
    return 1


def _is_made_of_all(name: str) -> bool:
    return name in _MADE_OF_ALL or "state" in name


def _is_named(value: exp.Expr) -> bool:
    """Whether it reads what has a name, and so may be of any type."""
    return value.find(exp.Column, exp.Identifier) is not None
