"""What an attempt's outcome means, and when to try again."""

from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from typing import Final, Literal, NamedTuple

JITTER: Final = 0.2
MAX_RETRY_AFTER: Final = 10 * 3600.0
HOLD_SECONDS: Final = 72 * 3600.0

Verdict = Literal["delivered", "gone", "retry"]


class Outcome(NamedTuple):
    """How one POST ended: a status, or an error in words a client may see; `ms` it took."""

    status: int | None
    error: str | None
    ms: int
    retry_after: str | None = None
    blocked: bool = False


def verdict(outcome: Outcome) -> Verdict:
    """2xx is delivered, 410 gone; everything else is tried again (a deploy can answer 404)."""
    if outcome.status is not None and 200 <= outcome.status < 300:
        return "delivered"
    return "gone" if outcome.status == 410 else "retry"


def retry_after_seconds(outcome: Outcome, now: float) -> float:
    """What a 429 or 503 asks for: seconds or an HTTP date, at most 10 h; 0 when unreadable."""
    text = (outcome.retry_after or "").strip()
    if outcome.status not in (429, 503) or not text:
        return 0.0
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), MAX_RETRY_AFTER)
    try:
        seconds = parsedate_to_datetime(text).timestamp() - now
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)


def delay(attempt: int, schedule: Sequence[float], jitter: float, hint: float) -> float | None:
    """Seconds until the attempt after the `attempt`-th (1 is the first), or None: exhausted.

    `jitter` in 0..1 spreads the listed delay by +-20 %; the result is never below `hint`.
    """
    if attempt > len(schedule):
        return None
    listed = schedule[attempt - 1] * (1 + JITTER * (2 * jitter - 1))
    return max(listed, hint)


def parse_schedule(text: str) -> tuple[float, ...]:
    """Comma-separated seconds between attempts (RED_WEBHOOK_SCHEDULE); n of them give n + 1 attempts.

    Raises:
        ValueError: one of them is no number of seconds.
    """
    schedule = tuple(float(part) for part in text.split(",") if part.strip())
    if any(not 0 <= seconds < 366 * 86400 for seconds in schedule):
        raise ValueError("seconds between attempts must be 0 or more")
    return schedule
