"""How an endpoint does, from what is recorded of the deliveries to it. Pure."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from red_common.events import rfc3339
from red_stats.domain.measurements import from_ms
from red_stats.domain.retries import BREAKER_OPENS_AFTER

NEVER: Final = 0


class Recorded(NamedTuple):
    """What the store knows of a subscription's deliveries; times in ms since 1970, NEVER: there was none.

    `failures` are the attempts since the last success, which began to fail at `failing_since`; `asked_until`
    is until when the last answer asked to be left alone. `changes` are the last ones that were told, newest
    first: when, the state, and why it was disabled or ''.
    """

    pending: int
    held: int
    next_attempt: int
    last_success: int
    last_status: int
    failures: int
    failing_since: int
    asked_until: int
    changes: Sequence[tuple[int, str, str]] = ()


def health(recorded: Recorded, *, enabled: bool, now: int) -> dict[str, Any]:
    """The `health` of a subscription at `now` (ms since 1970)."""
    return {
        "state": _state(recorded, enabled=enabled, now=now),
        "failing_since": _time(recorded.failing_since),
        "last_success_at": _time(recorded.last_success),
        "last_status": recorded.last_status or None,
        "pending": recorded.pending,
        "held": recorded.held,
        "next_attempt_at": _time(recorded.next_attempt),
        "changes": [
            {"at": _time(at), "state": state, "reason": reason or None}
            for at, state, reason in recorded.changes
        ],
    }


def _state(recorded: Recorded, *, enabled: bool, now: int) -> str:
    if not enabled:
        return "disabled"
    if recorded.failures >= BREAKER_OPENS_AFTER or recorded.asked_until > now:
        return "paused"
    return "failing" if recorded.failures else "ok"


def _time(at: int) -> str | None:
    return rfc3339(from_ms(at)) if at else None
