"""The fold of measurements: windowed counts and alerts over one batch, seeing the same state.

Pure: it reads windows, judges and sequences through arguments and returns what changes.
A measurement whose window had left the retention at its Kafka time goes to statistics only.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Final, Generic, NamedTuple, TypeVar

import numpy as np

from red_stats.domain.alerts import Alert, make
from red_stats.domain.readings import Integers, Readings
from red_stats.domain.subscriptions import Judge
from red_stats.domain.windows import Tally, Window, add, bins_of, is_expired, minute_of

LATE: Final = -1  # no minute since 1970
_SHORT: Final = 1 << 16  # numbers below it are sorted by their digits, several times as fast
Raised = tuple[int, Judge]  # row first
Key = TypeVar("Key")


class Folded(NamedTuple, Generic[Key]):
    """What a batch changes: whole new windows, alerts in order, sequences, and what was too late.

    Windows that the newest Kafka time leaves behind the retention are not among them.
    """

    windows: dict[Key, Window]
    alerts: list[Alert]
    sequences: dict[str, int]
    horizon: int
    too_late: int


def fold(
    readings: Readings,
    *,
    partition: int,
    key_of: Callable[[str, int], Key],
    window_of: Callable[[Key], Window],
    judges_of: Callable[[str], Sequence[Judge]],
    seq_of: Mapping[str, int],
    horizon: int,
    retention_ms: int,
) -> Folded[Key]:
    """Fold the readings of one partition, offsets ascending, onto the state behind them.

    `key_of(client_id, minute)` names a window. `horizon` is the newest Kafka time (ms) folded so far; it
    never goes back, so a broker's clock set back cannot reopen an expired window. Alerts come in the
    order of their offsets.
    """
    windows: dict[Key, Window] = {}
    sequences: dict[str, int] = {}
    if not len(readings):
        return Folded(windows, [], sequences, horizon, 0)
    late, horizon = _too_late(readings, horizon, retention_ms)
    raised: list[Raised] = []
    spans: dict[int, list[_Span]] = {}
    bp_of, offset_of = readings.red_bp.tolist(), readings.offset
    for group in _grouped(readings, late):
        client_id = readings.clients[group.client]
        mine = spans.get(group.client)
        if mine is None:
            mine = spans[group.client] = _spans(judges_of(client_id), readings)
        tallies = _judged(group, bp_of, offset_of, mine, raised)
        if group.minute == LATE or is_expired(group.minute, horizon, retention_ms):
            continue
        key = key_of(client_id, group.minute)
        windows[key] = add(window_of(key), group.bins, group.red_sum, tallies)
    alerts = _alerts(readings, raised, seq_of, sequences, partition)
    return Folded(windows, alerts, sequences, horizon, int(late.sum()))


class _Group(NamedTuple):
    """The images of one client and minute: the rows of the readings, and what they come to."""

    client: int
    minute: int
    rows: Sequence[int]
    bins: bytes
    red_sum: int
    most: int


def _grouped(readings: Readings, late: Integers) -> Iterator[_Group]:
    """By client and minute; what is too late for its window is by client alone."""
    minutes = minute_of(readings.at)
    minutes[late] = LATE
    first = int(minutes.min())
    span = int(minutes.max()) - first + 1
    place = readings.client.astype(np.int64) * span + (minutes - first)
    if len(readings.clients) * span <= _SHORT:
        place = place.astype(np.uint16)
    order = np.argsort(place, kind="stable")
    place, reds = place[order], readings.red_bp[order]
    starts = np.flatnonzero(np.concatenate(([True], place[1:] != place[:-1])))
    openings = order[starts]
    rows, bins = order.tolist(), bins_of(reds)
    ends = [*starts[1:].tolist(), len(rows)]
    for client, minute, start, end, red_sum, most in zip(
        readings.client[openings].tolist(),
        minutes[openings].tolist(),
        starts.tolist(),
        ends,
        np.add.reduceat(reds, starts, dtype=np.int64).tolist(),
        np.maximum.reduceat(reds, starts).tolist(),
        strict=True,
    ):
        yield _Group(client, minute, rows[start:end], bins[start:end], red_sum, most)


def _too_late(readings: Readings, horizon: int, retention_ms: int) -> tuple[Integers, int]:
    """Of each row whether its window had left the retention at its Kafka time, and the new horizon."""
    newest = max(horizon, int(readings.logged_at.max()))
    if not is_expired(minute_of(int(readings.at.min())), newest, retention_ms):
        return np.zeros(len(readings), bool), newest
    horizons = np.maximum.accumulate(np.maximum(readings.logged_at, horizon))
    return is_expired(minute_of(readings.at), horizons, retention_ms), newest


class _Span(NamedTuple):
    """A judge, and whether its range of offsets holds the whole batch."""

    judge: Judge
    whole: bool


def _spans(judges: Sequence[Judge], readings: Readings) -> list[_Span]:
    first, last = int(readings.offset[0]), int(readings.offset[-1])
    return [_Span(judge, judge.covers(first) and judge.covers(last)) for judge in judges]


def _judged(
    group: _Group, bp_of: Sequence[int], offset_of: Integers, spans: Sequence[_Span], raised: list[Raised]
) -> dict[str, Tally]:
    """By subscription: images judged by any of its versions, and those over, which are `raised`."""
    tallies: dict[str, Tally] = {}
    for judge, whole in spans:
        threshold, rows = judge.threshold_bp, group.rows
        if not whole:
            rows = [row for row in rows if judge.covers(offset_of[row])]
        over = [(row, judge) for row in rows if bp_of[row] > threshold] if group.most > threshold else []
        raised += over
        if rows:
            name = judge.subscription_id
            before = tallies.get(name)
            told = (len(rows), len(over))
            tallies[name] = told if before is None else (before[0] + told[0], before[1] + told[1])
    return tallies


def _alerts(
    readings: Readings,
    raised: list[Raised],
    seq_of: Mapping[str, int],
    sequences: dict[str, int],
    partition: int,
) -> list[Alert]:
    """The alerts in the order of their offsets; `sequences` goes on."""
    raised.sort(key=itemgetter(0))
    alerts = []
    for row, judge in raised:
        name = judge.subscription_id
        seq = (sequences.get(name) or seq_of.get(name, 0)) + 1
        sequences[name] = seq
        alerts.append(make(readings.reading(row), judge, seq, partition))
    return alerts
