"""The fold of measurements: windowed counts and alerts over one batch, seeing the same state.

Pure: it reads windows, judges and sequences through arguments and returns what changes.
A measurement whose window had left the retention at its Kafka time goes to statistics only.
"""

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Final, NamedTuple

from red_stats.domain.alerts import Alert, make
from red_stats.domain.reading import WINDOW_MS, Reading
from red_stats.domain.subscriptions import Judge
from red_stats.domain.windows import Changed, Tally, Window, add, is_expired, minute_of

LATE: Final = -1  # no minute since 1970
Raised = tuple[int, Judge, Reading]  # offset first


class Folded(NamedTuple):
    """What a batch changes: whole new windows, alerts in order, sequences, and what was too late."""

    windows: Changed
    alerts: list[Alert]
    sequences: dict[str, int]
    horizon: int
    too_late: int


def fold(
    readings: Sequence[Reading],
    *,
    partition: int,
    window_of: Callable[[str, int], Window],
    judges_of: Callable[[str], Sequence[Judge]],
    seq_of: Mapping[str, int],
    horizon: int,
    retention_ms: int,
) -> Folded:
    """Fold the readings of one partition, offsets ascending, onto the state behind them.

    `horizon` is the newest Kafka time (ms) folded so far; it never goes back, so a broker's clock
    set back cannot reopen an expired window. Alerts come in the order of their offsets.
    """
    late, horizon = _too_late(readings, horizon, retention_ms)
    windows: Changed = {}
    raised: list[Raised] = []
    spans: dict[str, list[_Span]] = {}
    for (client_id, minute), group in _grouped(readings, late).items():
        mine = spans.get(client_id)
        if mine is None:
            mine = spans[client_id] = _spans(judges_of(client_id), readings)
        reds = [reading.red_bp for reading in group]
        tallies = _judged(group, reds, mine, raised)
        if minute != LATE:
            windows[client_id, minute] = add(window_of(client_id, minute), reds, tallies)
    sequences: dict[str, int] = {}
    alerts = _alerts(raised, seq_of, sequences, partition)
    return Folded(windows, alerts, sequences, horizon, len(late))


def _grouped(readings: Sequence[Reading], late: set[int]) -> dict[tuple[str, int], list[Reading]]:
    """By client and minute; what is too late for its window is by client alone."""
    groups: dict[tuple[str, int], list[Reading]] = {}
    get = groups.get
    for reading in readings:
        place = (reading.client_id, reading.at // WINDOW_MS)
        if late and reading.offset in late:
            place = (reading.client_id, LATE)
        group = get(place)
        if group is None:
            groups[place] = [reading]
        else:
            group.append(reading)
    return groups


def _too_late(readings: Sequence[Reading], horizon: int, retention_ms: int) -> tuple[set[int], int]:
    """Offsets whose window had left the retention at their Kafka time, and the new horizon."""
    late: set[int] = set()
    if not readings:
        return late, horizon
    newest = max(horizon, max([reading.logged_at for reading in readings]))
    oldest = min([reading.at for reading in readings])
    if not is_expired(minute_of(oldest), newest, retention_ms):
        return late, newest
    for reading in readings:
        horizon = max(horizon, reading.logged_at)
        if is_expired(minute_of(reading.at), horizon, retention_ms):
            late.add(reading.offset)
    return late, newest


class _Span(NamedTuple):
    """A judge, and whether its range of offsets holds the whole batch."""

    judge: Judge
    whole: bool


def _spans(judges: Sequence[Judge], readings: Sequence[Reading]) -> list[_Span]:
    first, last = readings[0].offset, readings[-1].offset
    return [_Span(judge, judge.covers(first) and judge.covers(last)) for judge in judges]


def _judged(
    group: Sequence[Reading], reds: Sequence[int], spans: Sequence[_Span], raised: list[Raised]
) -> dict[str, Tally]:
    """By subscription: images judged by any of its versions, and those over, which are `raised`."""
    tallies: dict[str, Tally] = {}
    for judge, whole in spans:
        threshold, judged, over = judge.threshold_bp, len(group), 0
        if not whole:
            mine = [reading for reading in group if judge.covers(reading.offset)]
            judged = len(mine)
            found = [(reading.offset, judge, reading) for reading in mine if reading.red_bp > threshold]
        elif max(reds) > threshold:
            found = [(reading.offset, judge, reading) for reading in group if reading.red_bp > threshold]
        else:
            found = []
        if found:
            raised += found
            over = len(found)
        if judged:
            name = judge.subscription_id
            before = tallies.get(name)
            tallies[name] = (judged, over) if before is None else (before[0] + judged, before[1] + over)
    return tallies


def _alerts(
    raised: list[Raised], seq_of: Mapping[str, int], sequences: dict[str, int], partition: int
) -> list[Alert]:
    """The alerts in the order of their offsets; `sequences` goes on."""
    raised.sort(key=itemgetter(0))
    alerts = []
    for _, judge, reading in raised:
        name = judge.subscription_id
        seq = (sequences.get(name) or seq_of.get(name, 0)) + 1
        sequences[name] = seq
        alerts.append(make(reading, judge, seq, partition))
    return alerts
