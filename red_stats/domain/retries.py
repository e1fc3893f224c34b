"""What the outcome of an attempt means, and when to try again. Pure."""

import re
from collections.abc import Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final, Literal, NamedTuple

import msgspec

from red_stats.domain.bounds import Count32

JITTER: Final = 0.2
BREAKER_OPENS_AFTER: Final = 5  # failures in a row
MAX_RETRY_AFTER: Final = 10 * 3600.0
_SECONDS: Final = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
HOLD_SECONDS: Final = 72 * 3600.0

Verdict = Literal["delivered", "gone", "retry"]


class Timing(msgspec.Struct, frozen=True):
    """How long the steps of a POST took, in ms; None for one that there was not, or that did not end.

    A connection that is used again spares `dns`, `connect` and `tls`. `first_byte` is from the request to the
    begin of its answer.
    """

    dns: Count32 | None
    connect: Count32 | None
    tls: Count32 | None
    first_byte: Count32 | None
    total: Count32


class Outcome(NamedTuple):
    """How one POST ended: a status, or an error that clients may read; `ms` is how long it took.

    `retry_after` is the header as it came; `blocked`: the address is not allowed; `body` is the begin of
    the answer. Without a POST there is no `timing`.
    """

    status: int | None
    error: str | None
    ms: int
    retry_after: str | None = None
    blocked: bool = False
    body: bytes = b""
    timing: Timing | None = None


def verdict(outcome: Outcome) -> Verdict:
    """2xx is delivered, 410 is gone; everything else is retried (404 may be a deployment under way)."""
    if outcome.status is not None and 200 <= outcome.status < 300:
        return "delivered"
    return "gone" if outcome.status == 410 else "retry"


def retry_after_seconds(outcome: Outcome, now: float) -> float:
    """Seconds that a 429 or 503 asks to wait (as seconds or an HTTP date), at most 10 h; 0 if unreadable.

    `now` is in seconds since 1970.
    """
    text = (outcome.retry_after or "").strip()
    if outcome.status not in (429, 503) or not text:
        return 0.0
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), MAX_RETRY_AFTER)
    try:
        date = parsedate_to_datetime(text)
        seconds = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now  # asctime has no zone
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)


def delay(attempt: int, schedule: Sequence[float], jitter: float, hint: float) -> float | None:
    """Seconds from attempt number `attempt` (from 1) to the next one; None when there is no next one.

    `jitter` in 0..1 spreads the listed delay by +-20 %; the result is never below `hint`.
    """
    if attempt > len(schedule):
        return None
    listed = schedule[attempt - 1] * (1 + JITTER * (2 * jitter - 1))
    return max(listed, hint)


def parse_schedule(text: str) -> tuple[float, ...]:
    """Comma-separated seconds between attempts (RED_WEBHOOK_SCHEDULE); n of them give n + 1 attempts.

    Raises:
        ValueError: one of them is not a number of seconds from 0 to a year.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not all(_SECONDS.fullmatch(part) for part in parts):
        raise ValueError("seconds between attempts are numbers such as 5 or 0.5")
    schedule = tuple(map(float, parts))
    if any(not 0 <= seconds < 366 * 86400 for seconds in schedule):
        raise ValueError("seconds between attempts must be 0 or more, and at most a year")
    return schedule
