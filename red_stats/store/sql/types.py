"""The types that a query may name, as SQL or in a string, by a grammar of our own.

The engine reads more in a string than types: a column's DEFAULT or ALIAS runs functions, and quoted or
escaped names are those of types that may not be named.
"""

import re
from typing import Final

from red_stats.store.sql.errors import SqlRefused

_NAME: Final = r"[A-Za-z_][A-Za-z0-9_]{0,63}"
_TYPE: Final = (
    r"(?:U?Int(?:8|16|32|64|128|256)|Float(?:32|64)|Bool|String|FixedString|Date|Date32|DateTime|DateTime64|UUID"
    r"|IPv4|IPv6|Decimal(?:32|64|128|256)?|Array|Tuple|Map|Nullable|LowCardinality|Enum(?:8|16)?|Nothing)(?!\w)"
)
_TEXT: Final = r"'(?:[^'\\]|\\.)*'"
_COLUMN: Final = rf"(?!(?i:alias|codec|default|ephemeral|materialized)\b){_NAME}\s+{_TYPE}"
_PART: Final = rf"(?:{_COLUMN}|{_TYPE}|\d+|{_TEXT}(?:\s*=\s*-?\d+)?)"
_WITH_PARTS: Final = re.compile(
    rf"(?<!\w)({_TYPE})\s*\(\s*(?:{_PART}(?:\s*,\s*{_PART})*\s*)?\)", re.ASCII | re.DOTALL
)
_ONE: Final = re.compile(rf"\s*{_TYPE}\s*", re.ASCII)
_COLUMNS: Final = re.compile(rf"\s*{_COLUMN}(?:\s*,\s*{_COLUMN})*\s*", re.ASCII)
_QUOTES: Final = ("`", '"', "\\")
MOST_DEEP: Final = 20


def check_type(sql: str) -> None:
    """Refuse what is no type that may be named.

    Raises:
        SqlRefused: it is none.
    """
    if not _ONE.fullmatch(_flat(sql)):
        raise SqlRefused("type", f"The type {sql[:60]} is not allowed.")


def check_type_in_text(text: str) -> None:
    """Refuse a string that is no type that may be named.

    Raises:
        SqlRefused: it is none.
    """
    if any(quote in text for quote in _QUOTES):
        raise SqlRefused("type", "A type in a string has neither double quotes nor backslashes.")
    check_type(text)


def check_columns_in_text(text: str) -> None:
    """Refuse a string that is no list of columns: `name Type, name Type`, without strings.

    Raises:
        SqlRefused: it is none.
    """
    if any(quote in text for quote in (*_QUOTES, "'")) or not _COLUMNS.fullmatch(_flat(text)):
        raise SqlRefused("type", "VALUES begins with a row, or with 'name Type, name Type' without quotes.")


def _flat(sql: str) -> str:
    """The text with every type that has parts in brackets as its name alone, from the innermost on."""
    for _ in range(MOST_DEEP):
        sql, found = _WITH_PARTS.subn(r"\1", sql)
        if not found:
            return sql
    raise SqlRefused("too_complex", "A type is nested too deeply.")
