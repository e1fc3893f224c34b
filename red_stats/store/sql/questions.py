"""From a client's text to what the store is asked."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from red_stats.domain.erasure import NEVER, Erased
from red_stats.domain.sql_limits import Limits
from red_stats.store.sql.errors import ROWS_OR_BYTES, SqlFailed, SqlRefused
from red_stats.store.sql.formats import FORMATS, format_named
from red_stats.store.sql.judge import judge
from red_stats.store.sql.limits import settings_of


class SqlText(NamedTuple):
    """What a client asks: its text, the values of parameters, the format unless the text names one.

    `strict` refuses values that the text does not use; with `drivers`, what drivers ask when they connect is
    answered.
    """

    text: str
    values: Mapping[str, str | None]
    format: str
    strict: bool = True
    drivers: bool = False


class SqlQuestion(NamedTuple):
    """SQL that has been judged, and the settings under which it runs; people read `limits`."""

    sql: str
    format: str
    settings: Mapping[str, str | int | float]
    limits: str


class SqlAnswer(NamedTuple):
    """Bytes in a format, and their content type."""

    body: bytes
    format: str
    content_type: str


class SqlStore(Protocol):
    """What answers SQL of clients: the store itself, or the process that has it open."""

    def answer(self, question: SqlQuestion) -> bytes:
        """The bytes of the answer.

        Raises:
            SqlFailed, StoreError: there is none.
        """


def answer(
    store: SqlStore, client_id: str, asked: SqlText, name: str, limits: Limits, erased: Erased = NEVER
) -> SqlAnswer:
    """The answer to a client's text, without what is erased; `name` is how `queries.killing` finds it.

    Raises:
        SqlRefused, SqlFailed, StoreError: there is none.
    """
    judged = judge(asked.text, client_id, asked.values, drivers=asked.drivers)
    unused = sorted(set(asked.values) - judged.parameters)
    if unused and asked.strict:
        raise SqlRefused("parameter", f"The text has no parameter {unused[0][:60]!r}.")
    wanted = judged.format or asked.format
    format = format_named(wanted)
    if format is None:
        raise SqlRefused("format", f"The format {wanted[:60]!r} cannot be asked for.")
    settings = settings_of(client_id, name, limits, erased)
    body = store.answer(SqlQuestion(judged.sql, format, settings, str(limits)))
    if len(body) > limits.result_bytes:  # names and escapes may make of little data a long text
        raise SqlFailed(ROWS_OR_BYTES, f"The answer in {format} is too long ({limits}).")
    return SqlAnswer(body, format, FORMATS[format])
