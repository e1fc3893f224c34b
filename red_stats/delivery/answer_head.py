"""The head of an answer as it came, read for its status and nothing else. Pure.

An endpoint that answers 2xx has taken the webhook, whatever else is wrong with its answer: a library that
parses the whole answer refuses some that people's servers send.
"""

import re
from typing import Final

KEPT: Final = 16 << 10  # bytes
_STATUS: Final = re.compile(rb"(?:\r?\n)*HTTP/\d(?:\.\d)? (\d\d\d)(?!\d)")
_END: Final = re.compile(rb"\r?\n\r?\n")
_RETRY_AFTER: Final = re.compile(rb"\r?\nRetry-After:[ \t]*([^\r\n]*)", re.IGNORECASE)


class AnswerHead:
    """The first KEPT bytes of an answer."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes) -> bool:
        """Takes what came; False once KEPT bytes have come without a status that ends the exchange."""
        if len(self._bytes) >= KEPT:
            return self.status is not None
        self._bytes += data[: KEPT - len(self._bytes)]
        return len(self._bytes) < KEPT or self.status is not None

    @property
    def status(self) -> int | None:
        """The status of the answer, after any 1xx before it; None if none has come."""
        found = self._final()
        return found and int(found[1])

    @property
    def retry_after(self) -> str | None:
        """The value of Retry-After behind that status, None if there is none."""
        found = self._final()
        value = found and _RETRY_AFTER.search(self._bytes, found.end())
        return value[1].decode("latin-1") if value else None

    def _final(self) -> re.Match[bytes] | None:
        at = 0
        while (found := _STATUS.match(self._bytes, at)) and found[1].startswith(b"1") and found[1] != b"101":
            end = _END.search(self._bytes, found.end())
            if end is None:
                return None
            at = end.end()
        return found
