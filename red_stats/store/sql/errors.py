"""Why a question in SQL has no answer."""

import re
from typing import Final

_CODE: Final = re.compile(r"Code: (\d+)\. DB::Exception: ")
_TAIL: Final = re.compile(r"\(version [^)]*\)|\bStack trace:.*|, Stack trace.*", re.DOTALL)
# what was made of the client's text, which it does not know
_SCOPE: Final = re.compile(
    r":? (In scope|In query|[Ww]hile (executing|processing)) .*?(?= \([A-Z_]+\)\Z|\Z)", re.DOTALL
)
_PATH: Final = re.compile(r"(?<![\w'`.])/(?:[\w.@+-]+/)+[\w.@+-]*")
_NAME: Final = re.compile(r"\(([A-Z_0-9]+)\)\.?\s*\Z")
#: Of the engine's errors, those that come of the text before a row is read, and name its words.
_OF_THE_TEXT: Final = frozenset([42, 43, 46, 47, 53, 62, 63, 179, 184, 207, 215, 386])
MOST: Final = 400  # characters of the engine's message

TIMEOUT, MEMORY, ROWS_OR_BYTES = 159, 241, 396
UNKNOWN_TABLE, READONLY = 60, 164
THROWN = 395  # by `throwIf`, which clients cannot call


class SqlRefused(Exception):
    """Raised when a text is not run; `str()` is a sentence, `reason` is stable.

    `position` is where in the text, in characters from 0; None: it is about all of it.
    """

    def __init__(self, reason: str, detail: str, position: int | None = None) -> None:
        super().__init__(detail)
        self.reason, self.position = reason, position


class SqlFailed(Exception):
    """Raised when the engine gave up; `str()` is for the client, `code` is the engine's."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(code, message)
        self.code, self.message = code, message

    def __str__(self) -> str:
        return self.message


def failed(text: str, limits: str) -> SqlFailed | None:
    """What a client may read of the engine's error; None if the engine did not say anything at all.

    Nothing remains of versions, stack traces, paths and values. `limits` are told where one of them ended it.
    """
    found = list(_CODE.finditer(text))
    if not found:
        return None
    code = int(found[-1][1])
    if code in (UNKNOWN_TABLE, READONLY):  # which of them it is tells of a file whether it is there
        return SqlFailed(UNKNOWN_TABLE, "The engine cannot compute it (UNKNOWN_TABLE)")
    if code == THROWN:
        return SqlFailed(
            code, "A regular expression, or LIKE with % before _, met a text that is too long: use left()."
        )
    message = " ".join(_TAIL.sub("", text[found[-1].end() :]).split())
    message = _PATH.sub("...", _SCOPE.sub("", message))
    if code in (TIMEOUT, MEMORY, ROWS_OR_BYTES):
        message = f"The question reached a limit ({limits}): {message}"
    elif (
        code not in _OF_THE_TEXT
    ):  # it may hold values, with quotes and without, which need not be the client's
        name = _NAME.search(message)
        message = f"The engine cannot compute it{f' ({name[1]})' if name else ''}"
    return SqlFailed(code, message if len(message) <= MOST else f"{message[:MOST]}...")
