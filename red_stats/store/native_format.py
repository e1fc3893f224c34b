"""Rows in ClickHouse's Native format: column by column, as the engine keeps them.

The driver's own encoder queries the table's types before every insert, imports pandas to check whether it
was given a frame, and looks at every value twice.
"""

import sys
from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from red_stats.domain.column_batch import Texts

#: Type codes of arrays by the integer type of the column; times are ms since 1970 (DateTime: seconds).
TYPECODES: Final = {
    "UInt8": "B", "UInt16": "H", "UInt32": "I", "UInt64": "Q", "Int32": "i", "Int64": "q",
    "DateTime": "I", "DateTime64(3, 'UTC')": "q",
}  # fmt: skip
STRINGS: Final = ("String", "LowCardinality(String)")

Columns = Sequence[Any]  # of lists, arrays and `Texts`


class _Sized(dict[str, bytes]):
    """Text -> its bytes preceded by their length; kept, since the same few texts repeat."""

    def __missing__(self, text: str) -> bytes:
        sized = self[text] = _sized(text)
        return sized


def pieces(names: Sequence[str], types: Mapping[str, str], groups: Sequence[Columns]) -> Iterator[bytes]:
    """All rows as one block, in pieces; each group is a list of columns in the order of `names`.

    Raises:
        KeyError: the table has no such column, or one of a type that is not supported here.
        OverflowError: an integer does not fit into its column.
    """
    yield _leb128(len(names)) + _leb128(sum(len(group[0]) for group in groups))
    for number, name in enumerate(names):
        kind = types[name]
        # the engine builds dictionaries from plain strings faster than we would
        yield _sized(name) + _sized("String" if kind in STRINGS else kind)
        for group in groups:
            yield _encoded(kind, group[number])


def _encoded(kind: str, column: Any) -> bytes:
    if isinstance(column, Texts):
        return column.content
    if kind not in STRINGS:
        return _integers(TYPECODES[kind], column)
    if kind == "String":
        return _strings(column)
    if column and column.count(column[0]) == len(column):
        return _sized(column[0]) * len(column)
    known = _Sized()
    return b"".join([known[text] for text in column])


def _integers(typecode: str, column: Sequence[Any]) -> bytes:
    if not isinstance(column, array) or column.typecode != typecode:
        column = array(typecode, column)
    if sys.byteorder == "big":
        column = array(typecode, column)  # a copy: the given one is not ours
        column.byteswap()
    return column.tobytes()


def _strings(column: Sequence[str]) -> bytes:
    lengths = set(map(len, column))
    if len(lengths) == 1 and (length := lengths.pop()) < 0x80:
        if not length:
            return bytes(len(column))
        prefix = chr(length)
        text = prefix + prefix.join(column)
        if text.isascii():  # so that characters are bytes
            return text.encode()
    return b"".join([_sized(text) for text in column])


def _sized(text: str) -> bytes:
    content = text.encode()
    return _leb128(len(content)) + content


def _leb128(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
