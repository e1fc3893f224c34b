"""Values of `{name:Type}` parameters as the text of which the engine makes the type."""

import math
import re
from collections.abc import Mapping
from typing import Any, Final

from red_stats.store.sql.dialect import quoted

NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)
_ESCAPES: Final = {
    "b": "\b", "f": "\f", "r": "\r", "n": "\n", "t": "\t", "0": "\0", "a": "\a", "v": "\v", "e": "\x1b"
}  # fmt: skip
_ESCAPE: Final = re.compile(r"\\(x[0-9a-fA-F]{2}|.)", re.DOTALL)


def from_url(text: str) -> str | None:
    """The value that `param_x=` carries: escaped as in TabSeparated, backslash N for NULL."""
    return None if text == "\\N" else _ESCAPE.sub(_unescaped, text)


def _unescaped(found: re.Match[str]) -> str:
    escape = found[1]
    return chr(int(escape[1:], 16)) if len(escape) == 3 else _ESCAPES.get(escape, escape)


def from_json(values: Mapping[str, Any]) -> dict[str, str | None]:
    """The values of a JSON object.

    Raises:
        ValueError: one of them has no such text.
    """
    return {name: None if value is None else _text(value) for name, value in values.items()}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else _literal(value)


def _literal(value: Any) -> str:
    match value:
        case None:
            return "NULL"
        case bool():
            return "true" if value else "false"
        case str():
            return quoted(value)
        case int():
            return str(value)
        case float() if math.isfinite(value):
            return repr(value)
        case list():
            return f"[{', '.join(map(_literal, value))}]"
    raise ValueError(f"{value!r} is no value of a parameter")
