"""The version of a subscription that raised an alert."""

from collections.abc import Sequence
from typing import Any

from red_stats.domain.recorded_tables import terms_of
from red_stats.domain.subscriptions import Subscription

Row = tuple[Any, ...]  # of `alert_queries.VERSION_COLUMNS`


def with_now(rows: Sequence[Row], now: Subscription | None) -> list[Row]:
    """The recorded versions and behind them the one of `now`: it may raise alerts before it is recorded."""
    if now is None:
        return list(rows)
    made = now.public()
    if any((row[0], row[6]) == (made.version, made.in_force_from) for row in rows):
        return list(rows)
    return [*rows, (made.version, *terms_of(made), 0)]


def version_of(rows: Sequence[Row], number: int, position: str) -> dict[str, Any] | None:
    """The version that raised the alert about `position`, and until where it was in force.

    None: it is not recorded, and no longer the one of now.
    """
    offset = _offset(position)
    own = [n for n, row in enumerate(rows) if row[0] == number and _offset(row[6]) <= offset]
    if not own:
        return None
    found, later = rows[own[-1]], rows[own[-1] + 1 :]
    until = next((row[6] for row in later if row[0] == number + 1), None)
    version, threshold, trigger, back, min_interval, max_age, in_force_from, _ = found
    return {
        "version": version,
        "threshold": threshold / 10000,
        "trigger": trigger,
        "rearm_below": None if back < 0 else back / 10000,
        "min_interval": min_interval,
        "max_age": None if max_age < 0 else max_age,
        "in_force_from": in_force_from,
        "in_force_until": until,
    }


def _offset(position: str) -> int:
    return int(position.partition(":")[2])
