"""The header Idempotency-Key: a request that is sent again with the same one is answered as the first."""

from collections.abc import Sequence
from typing import Final

from red_common.problems import Problem

HEADER: Final = "Idempotency-Key"
MAX_KEY: Final = 255


def checked_key(given: Sequence[str]) -> str:
    """The key, given the values of all Idempotency-Key headers of a request; at least one.

    Raises:
        Problem: 400, it is repeated, empty, longer than MAX_KEY, or not printable ASCII.
    """
    key = given[0]
    if len(given) > 1 or not (1 <= len(key) <= MAX_KEY and key.isascii() and key.isprintable()):
        detail = f"Give Idempotency-Key once, as 1 to {MAX_KEY} printable ASCII characters."
        raise Problem("idempotency_key_invalid", detail, close=True)
    return key


def reused() -> Problem:
    """The problem of a key that came before, with another body."""
    detail = "This Idempotency-Key was used with another body; use a new key."
    return Problem("idempotency_key_reused", detail)
