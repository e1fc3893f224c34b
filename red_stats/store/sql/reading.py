"""A client's text as a tree, within bounds of time and depth."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from sqlglot import ErrorLevel, exp
from sqlglot.tokenizer_core import Token, TokenType

from red_stats.store.sql.dialect import Plain
from red_stats.store.sql.errors import SqlRefused

MOST_BYTES: Final = 16 << 10
MOST_TOKENS: Final = 4000
MOST_NESTED: Final = 50
MOST_BRACKETS: Final = 100  # `[`: reading a[1][1][1].. takes time by the square of it
MOST_RUN: Final = 200  # minus signs, NOTs and the like on end
# sqlglot makes a letter of two bytes of it
_HIGH_BYTE: Final = re.compile(r"(?<!\\)(?:\\\\)*\\x[89a-fA-F][0-9a-fA-F]")


def parsed(text: str) -> exp.Query:
    """The one SELECT that a text is.

    Raises:
        SqlRefused: it is not one, cannot be read, or is too long or too deep.
    """
    if len(text.encode(errors="replace")) > MOST_BYTES:
        raise SqlRefused("too_long", f"The text has more than {MOST_BYTES >> 10} KiB: give parameters.")
    trees = safely(lambda: Plain().parser(error_level=ErrorLevel.IMMEDIATE).parse(_tokens(text), text), text)
    found = [tree for tree in trees if tree is not None]
    if len(found) != 1:
        raise SqlRefused("not_one_statement", "Send exactly one SELECT.")
    if not isinstance(found[0], exp.Query) or isinstance(found[0], exp.Table):
        raise SqlRefused("not_select", "Only SELECT is allowed.")
    return found[0]


def _tokens(text: str) -> list[Token]:
    tokens = Plain().tokenize(text)
    _check_values(tokens)
    depth = deepest = run = longest = brackets = 0
    for token in tokens:
        if token.token_type == TokenType.STRING and _HIGH_BYTE.search(text[token.start : token.end + 1]):
            raise SqlRefused("unreadable", "For bytes that are no UTF-8 write unhex('ff').", token.start)
        opens, closes = token.text in ("(", "[", "{"), token.text in (")", "]", "}")
        depth += opens - closes
        brackets += token.token_type == TokenType.L_BRACKET
        is_prefix = token.text.upper() in ("-", "NOT", "CASE", "INTERVAL", "~", "->", "?")
        run = run + 1 if is_prefix else 0 if opens or closes else run
        deepest, longest = max(deepest, depth), max(longest, run)
    if len(tokens) > MOST_TOKENS or deepest > MOST_NESTED or brackets > MOST_BRACKETS or longest > MOST_RUN:
        raise SqlRefused("too_complex", "The text has too many words or is nested too deeply.")
    return tokens


def _check_values(tokens: list[Token]) -> None:
    """Refuse `(VALUES ...)`: as a tree it is the same as the call, which takes other brackets for rows."""
    for before, token, behind in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if token.token_type == TokenType.VALUES and before.text == behind.text == "(":
            detail = "(VALUES ...) is not read here: write FROM values((1, 2), (3, 4))."
            raise SqlRefused("not_allowed", detail, token.start)


@contextmanager
def placed(node: exp.Expr) -> Iterator[None]:
    """Says of what is refused meanwhile that it is about this node of the text."""
    try:
        yield
    except SqlRefused as refused:
        named = () if isinstance(node, exp.Query) else node.walk()
        starts = [one.meta["start"] for one in named if "start" in one.meta]
        raise SqlRefused(refused.reason, str(refused), min(starts, default=None)) from None


def wrap(value: exp.Expr, name: str, *more: exp.Expr) -> None:
    """Put a call around a value, which stays the node that it is: what is within is worked on, too."""
    call = exp.Anonymous(this=name)
    value.replace(call)
    call.set("expressions", [value, *more])


def _position_of(error: Exception, text: str) -> int | None:
    """Where in the text sqlglot stumbled: it names the line, and the column behind the word."""
    found = getattr(error, "errors", None)
    if not found or not found[0].get("line"):
        return None
    lines = text.split("\n")
    before = sum(len(line) + 1 for line in lines[: found[0]["line"] - 1])
    place: int = before + found[0]["col"] - len(found[0].get("highlight") or "")
    return place if 0 <= place <= len(text) else None


def safely(work: Callable[[], Any], text: str = "") -> Any:
    """What `work` of sqlglot returns; whatever it stumbles over is a text that is not run."""
    try:
        return work()
    except SqlRefused:
        raise
    except RecursionError:
        raise SqlRefused("too_complex", "The text is nested too deeply.") from None
    except Exception as error:
        said = re.sub(r"\x1b\[\d+m", "", str(error)).split(". Line")[0].split("\n")[0][:200]
        detail = f"The text cannot be read as one SELECT: {said}."
        raise SqlRefused("unreadable", detail, _position_of(error, text)) from error
