"""What searches a value for long: the engine looks at no clock until a block of rows is done.

A pattern must be written out, and a regular expression refuses a long text. A value that all rows
share costs its memory but once, and is searched for every row: where that matters it is made a value of each
row, so that the limit of memory bounds the work.
"""

import re
from collections.abc import Iterator
from math import prod
from typing import Final

from sqlglot import exp

from red_stats.store.sql.checks import CALLS
from red_stats.store.sql.dialect import Plain
from red_stats.store.sql.errors import SqlRefused
from red_stats.store.sql.reading import wrap

MOST_SEEN: Final = 512  # bytes of a text that a regular expression may see
MOST_OF_PATTERN: Final = 100  # its characters and what it counts, as often as groups are counted
MOST_OF_PATTERNS: Final = 200  # of all of them
_REGEXPS: Final = frozenset(("match", "extract", "extractgroups", "regexpextract"))
_LIKES: Final = frozenset(("like", "notlike"))
#: By function, which arguments are searched, or walked through, for every row; None: all.
_SEARCHED: Final[dict[str, tuple[int, ...] | None]] = {
    **dict.fromkeys(
        (
            *("position", "positionutf8", "countsubstrings", "hassubsequence", "hastoken"),
            *("replace", "replaceall", "replaceone", "substringindex", "ngramdistance"),
            *("substringutf8", "leftutf8", "rightutf8", "arrayelement", "arrayelementornull"),
            *("jsonhas", "jsonlength", "jsontype", "jsonextract", "jsonextractint", "jsonextractuint"),
            *("jsonextractfloat", "jsonextractbool", "jsonextractstring", "jsonextractraw"),
            *("jsonextractarrayraw", "jsonextractkeys", "jsonextractkeysandvaluesraw"),
        ),
        (0,),
    ),
    **dict.fromkeys(
        (
            *("locate", "arrayintersect", "arrayjaccardindex"),
            *("mapcontains", "mapcontainskey", "mapadd", "mapsubtract", "mapupdate"),
        )
    ),
}
#: What stands for values that the text writes out.
_WRITTEN: Final = (
    *(exp.Literal, exp.Boolean, exp.Null, exp.Neg, exp.Paren, exp.Tuple, exp.Array, exp.Cast, exp.DataType),
    *(exp.DataTypeParam, exp.DPipe, exp.Identifier),
)
_OF_WRITTEN: Final = frozenset(
    ("tuple", "array", "map", "concat", "lower", "upper", "lowerutf8", "upperutf8")
)
_COUNTED: Final = re.compile(r"(\)?)\{(\d{1,6})(?:,(\d{0,6}))?\}", re.ASCII)
#: A name of a column that is the same to every reader.
_NAME: Final = re.compile(r"[\w (),.'%:*+/<>=-]{1,200}", re.ASCII)


def bound_searches(tree: exp.Expr) -> None:
    """Refuse searches without bounds, and bound the others; values of parameters stand in the text already.

    Raises:
        SqlRefused: a pattern is not written out or too long, or would see more than a block of rows.
    """
    select = _answering(tree)
    names = [one.sql(dialect=Plain) for one in select.expressions]
    _bound(tree)
    for item, name in zip(list(select.expressions), names, strict=True):
        if not isinstance(item, exp.Alias) and item.sql(dialect=Plain) != name and _NAME.fullmatch(name):
            item.replace(exp.alias_(item.copy(), name, quoted=True))


def _answering(tree: exp.Expr) -> exp.Expr:
    """The SELECT that names the columns of the answer."""
    while isinstance(tree, (exp.Subquery, exp.SetOperation)):
        tree = tree.this
    return tree


def _bound(tree: exp.Expr) -> None:
    _without_ilike(tree)
    has_more_rows = any(map(_makes_rows, tree.walk()))
    size = 0
    for node in list(tree.walk()):
        if (of_pattern := _of_pattern(node)) is not None:
            size += _bound_pattern(node, *of_pattern, has_more_rows)
    if size > MOST_OF_PATTERNS:
        raise SqlRefused("pattern", f"All patterns have at most {MOST_OF_PATTERNS} characters.")
    for node in list(tree.walk()):
        if isinstance(node, exp.Bracket):
            if not all(map(_is_written, node.expressions)):
                _make_of_each_row(node.this)
        elif isinstance(node, exp.In):
            _bound_in(node)
        elif isinstance(node, CALLS) and (name := node.name.lower()) in _SEARCHED:
            places = _SEARCHED[name]
            for place, argument in enumerate(node.expressions):
                if places is None or place in places:
                    _make_of_each_row(argument)


def _without_ilike(tree: exp.Expr) -> None:
    """ILIKE as LIKE of small letters: the engine's own takes time by the square of the pattern."""
    for node in list(tree.find_all(exp.ILike)):
        this, pattern = (
            exp.Anonymous(this="lowerUTF8", expressions=[one]) for one in (node.this, node.expression)
        )
        node.replace(exp.Like(this=this, expression=pattern, negate=node.args.get("negate")))


def _of_pattern(node: exp.Expr) -> tuple[exp.Expr, exp.Expr, bool] | None:
    """The text that is searched, the pattern, and whether that is a regular expression."""
    if isinstance(node, exp.Like):
        return node.this, node.expression, False
    if not isinstance(node, CALLS) or (name := node.name.lower()) not in _REGEXPS | _LIKES:
        return None
    if len(node.expressions) < 2:
        raise SqlRefused("function", f"{node.name[:60]} takes a text and a pattern.")
    return node.expressions[0], node.expressions[1], name in _REGEXPS


def _bound_pattern(
    node: exp.Expr, text: exp.Expr, pattern: exp.Expr, is_regexp: bool, has_more_rows: bool
) -> int:
    """Bound one search; how much it has of what all of them may have."""
    if not _is_written(pattern):
        raise SqlRefused("pattern", "A pattern must be written out, or made of parameters by concat or ||.")
    written = "".join(_strings(pattern))
    if not is_regexp and not re.search("%.*_", written, re.DOTALL):
        return 0  # one search, or one step a letter
    size = _size_of(written)
    if size > MOST_OF_PATTERN:
        raise SqlRefused(
            "pattern", f"A pattern has at most {MOST_OF_PATTERN} characters, with what it counts."
        )
    if _is_written(text):
        return 0
    if has_more_rows or node.find_ancestor(exp.Lambda):
        raise SqlRefused(
            "pattern", "Regular expressions do not go with x -> ..., arrayJoin, ARRAY JOIN and WITH FILL."
        )
    _refuse_long(text)
    return size


def _refuse_long(text: exp.Expr) -> None:
    """Have the engine give up at a text that is too long (`errors.THROWN`); it stands there but once."""
    name = exp.Identifier(this="text", quoted=False)
    is_long = _call("greater", _call("length", exp.Column(this=name.copy())), exp.Literal.number(MOST_SEEN))
    zero = _call("throwIf", _call("ifNull", is_long, exp.Literal.number(0)))
    body = _call("substring", exp.Column(this=name.copy()), _call("plus", exp.Literal.number(1), zero))
    array = _call("array")
    looked_at = _call("arrayMap", exp.Lambda(this=body, expressions=[name]), array)
    text.replace(_call("arrayElement", looked_at, exp.Literal.number(1)))
    array.set("expressions", [text])


def _call(name: str, *given: exp.Expr) -> exp.Expr:
    return exp.Anonymous(this=name, expressions=list(given))


def _size_of(pattern: str) -> int:
    """How many steps a regular expression has about, with `x{30}` as 30 and `(...){3}` as three."""
    counted = [(group, max(int(least), int(most or 0))) for group, least, most in _COUNTED.findall(pattern)]
    size = len(pattern) + sum(times for _, times in counted)
    return size * prod(max(1, times) for group, times in counted if group)


def _strings(node: exp.Expr) -> Iterator[str]:
    """The strings that a written value is made of, in their order."""
    for one in node.walk(bfs=False):
        if isinstance(one, exp.Literal) and not isinstance(one.parent, exp.DataTypeParam):
            yield one.name


def _makes_rows(node: exp.Expr) -> bool:
    """Whether it makes many rows of one, all of them in one block."""
    if isinstance(node, exp.Join):
        return node.kind == "ARRAY"
    return isinstance(node, exp.WithFill) or (isinstance(node, CALLS) and node.name.lower() == "arrayjoin")


def _bound_in(node: exp.In) -> None:
    """IN with a call behind it would look through an array for every row: a tuple of it is one value."""
    behind = node.args.get("field") or (node.expressions[0] if len(node.expressions) == 1 else None)
    while isinstance(behind, exp.Paren):
        behind = behind.this
    if behind is not None and not _is_written(behind) and not isinstance(behind, (exp.Query, exp.Tuple)):
        wrap(behind, "tuple")


def _make_of_each_row(value: exp.Expr) -> None:
    if not _is_written(value):
        wrap(value, "materialize")


def _is_written(value: exp.Expr) -> bool:
    """Whether it is made of what the text says, and so is not long."""
    return all(
        isinstance(one, _WRITTEN) or (isinstance(one, CALLS) and one.name.lower() in _OF_WRITTEN)
        for one in value.walk()
    )
