"""ClickHouse's SQL as sqlglot reads and writes it, with every call of a function left as it was written.

sqlglot turns calls it knows into its own nodes and writes those under other names: toStartOfHour becomes
dateTrunc, whose type is another. Here every call stays a name with arguments.
"""

import re
from collections.abc import Sequence
from itertools import count
from typing import Any, ClassVar, Final

from sqlglot import exp
from sqlglot.dialects.clickhouse import ClickHouse
from sqlglot.generators.clickhouse import ClickHouseGenerator
from sqlglot.parsers.clickhouse import ClickHouseParser
from sqlglot.tokenizer_core import TokenType

from red_stats.store.sql.errors import SqlRefused

MOST_STEPS: Final = 10  # of reading, for a word; what people write takes 3
_ESCAPED: Final = re.compile(r"[\\'\x00-\x1f\x7f]")

#: What has brackets of its own around one element.
_WITH_BRACKETS: Final = (exp.Cube, exp.Distinct, exp.GroupingSets, exp.Rollup, exp.Tuple, exp.Values)


def quoted(text: str) -> str:
    """A string literal that the engine reads as exactly this text."""
    return "'" + _ESCAPED.sub(lambda found: f"\\x{ord(found[0]):02x}", text) + "'"


def _as_written(value: exp.Expr) -> exp.Expr:
    """What stands before `::`: of a number, the engine casts the text, so that no digit is lost."""
    return exp.Literal.string(value.name) if value.is_number else value


class Plain(ClickHouse):
    """The dialect."""

    class Parser(ClickHouseParser):
        """Reads; a statement it does not know is an error and no opaque command."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._steps = count()

        def _advance(self, times: int = 1) -> None:
            """One step through the text: what may be a type and what may be a value is read twice a level."""
            if next(self._steps) > MOST_STEPS * (len(self._tokens) + 100):
                raise SqlRefused("too_complex", "The text takes too long to read: nest less.")
            super()._advance(times)

        FUNCTIONS: ClassVar[dict[Any, Any]] = {}
        FUNCTION_PARSERS: ClassVar[dict[Any, Any]] = {"CAST": ClickHouseParser.FUNCTION_PARSERS["CAST"]}
        NO_PAREN_FUNCTIONS: ClassVar[dict[Any, Any]] = {}
        NO_PAREN_FUNCTION_PARSERS: ClassVar[dict[Any, Any]] = {
            "CASE": ClickHouseParser.NO_PAREN_FUNCTION_PARSERS["CASE"]
        }

        COLUMN_OPERATORS: ClassVar[dict[Any, Any]] = ClickHouseParser.COLUMN_OPERATORS | {
            TokenType.DCOLON: lambda self, this, to: self.build_cast(
                strict=self.STRICT_CAST, this=_as_written(this), to=to
            )
        }

        @classmethod
        def _resolve_clickhouse_agg(cls, name: str) -> tuple[str, Sequence[str]] | None:
            return name, ()  # so that quantile(0.9)(red) is read whatever the function is called

        def _warn_unsupported(self) -> None:
            self.raise_error("it is no SELECT")

    class Generator(ClickHouseGenerator):
        """Writes; strings with our own escapes."""

        TYPE_MAPPING: ClassVar[dict[Any, Any]] = ClickHouseGenerator.TYPE_MAPPING | {exp.DType.DATE: "Date"}

        def literal_sql(self, expression: exp.Literal) -> str:
            """A string or a number."""
            return quoted(expression.name) if expression.is_string else expression.name

        def tuple_sql(self, expression: exp.Tuple) -> str:
            """A tuple; of one element, in the only way that is no parenthesis."""
            if len(expression.expressions) == 1 and not isinstance(expression.parent, _WITH_BRACKETS):
                return f"tuple({self.sql(expression.expressions[0])})"
            return str(super().tuple_sql(expression))
