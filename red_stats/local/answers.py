"""What a service answered to a command: what was asked for, or in words what it was instead."""

import json
from typing import Any

import msgspec


class OddAnswer(Exception):
    """Raised when an answer is not what was asked for; the text says what it is."""


def content(status: int, body: bytes, kind: Any) -> Any:
    """The JSON of an answer, which has at least the fields of `kind`.

    Raises:
        OddAnswer: the status is not 200, or the body is something else.
    """
    if status != 200:
        raise OddAnswer(reason(status, body))
    try:
        found = json.loads(body)
        msgspec.convert(found, kind)
    except (ValueError, RecursionError, msgspec.MsgspecError):
        raise OddAnswer(reason(status, body)) from None
    return found


def reason(status: int, body: bytes) -> str:
    """The problem that an answer tells, by code and detail; of any other answer, that it is none."""
    try:
        problem = json.loads(body)
        code = f"{problem['code']}: " if "code" in problem else ""
        return f"{code}{problem['detail']}"
    except (ValueError, RecursionError, KeyError, TypeError):
        return f"it answered {status} and nothing that RED_STATS would: is it RED_STATS that listens there?"
