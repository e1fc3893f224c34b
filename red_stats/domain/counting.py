"""The fold of measurements: windowed counts and alerts over one batch, seeing the same state.

Pure: it reads windows, judges and sequences through arguments and returns what changes.
A measurement whose window had left the retention at its Kafka time goes to statistics only.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from red_stats.domain.alerts import Alert, make
from red_stats.domain.reading import WINDOW_MS, Reading
from red_stats.domain.subscriptions import Judge
from red_stats.domain.windows import EMPTY, Counts, Window, add

WindowKey = tuple[str, int]  # client_id, minute


class Folded(NamedTuple):
    """What a batch changes: whole new windows, alerts in order, sequences, and what was too late."""

    windows: dict[WindowKey, Window]
    alerts: list[Alert]
    sequences: dict[str, int]
    horizon: int
    too_late: int


def fold(
    readings: Sequence[Reading],
    *,
    partition: int,
    window_of: Callable[[str, int], Window | None],
    judges_of: Callable[[str], Sequence[Judge]],
    seq_of: Mapping[str, int],
    horizon: int,
    retention_ms: int,
) -> Folded:
    """Fold the readings of one partition, offsets ascending, onto the state behind them.

    `horizon` is the newest Kafka time (ms) folded so far; it never goes back, so a broker's clock
    set back cannot reopen an expired window.
    """
    groups: dict[WindowKey, list[int]] = {}
    tallied: dict[WindowKey, dict[str, list[int]]] = {}
    judged: dict[str, Sequence[Judge]] = {}
    alerts: list[Alert] = []
    sequences: dict[str, int] = {}
    too_late = 0
    for reading in readings:
        offset, client_id, at, red_bp, logged_at, _ = reading
        if logged_at > horizon:
            horizon = logged_at
        judges = judged.get(client_id)
        if judges is None:
            judges = judged[client_id] = judges_of(client_id)
        minute = at // WINDOW_MS
        counted = (minute + 1) * WINDOW_MS + retention_ms > horizon
        key = (client_id, minute)
        if counted:
            group = groups.get(key)
            if group is None:
                group = groups[key] = []
            group.append(red_bp)
        else:
            too_late += 1
        for judge in judges:
            until = judge[4]
            if offset < judge[3] or (until is not None and offset >= until):
                continue
            is_over = red_bp > judge[2]
            if counted:
                _tally(tallied, key, judge[0], is_over)
            if is_over:
                seq = sequences.get(judge[0]) or seq_of.get(judge[0], 0)
                sequences[judge[0]] = seq + 1
                alerts.append(make(reading, judge, seq + 1, partition))
    windows = {
        key: add(window_of(*key) or EMPTY, Counts(reds, tallied.get(key, {}))) for key, reds in groups.items()
    }
    return Folded(windows, alerts, sequences, horizon, too_late)


def _tally(
    tallied: dict[WindowKey, dict[str, list[int]]], key: WindowKey, subscription: str, over: bool
) -> None:
    tallies = tallied.get(key)
    if tallies is None:
        tallies = tallied[key] = {}
    pair = tallies.get(subscription)
    if pair is None:
        pair = tallies[subscription] = [0, 0]
    pair[0] += 1
    pair[1] += over
