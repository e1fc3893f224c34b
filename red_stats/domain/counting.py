"""The fold of measurements: windowed counts and alerts over one batch, seeing the same state.

Pure: it reads windows, threshold versions and sequences through arguments and returns what changes.
A measurement whose window had left the retention at its Kafka time goes to statistics only.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from operator import itemgetter
from typing import Final, Generic, NamedTuple, TypeVar

import numpy as np

from red_stats.domain.alerts import Alert, AlertSequence, make
from red_stats.domain.erasure import ErasedOf, never
from red_stats.domain.measurement_columns import Integers, MeasurementColumns
from red_stats.domain.subscriptions import ThresholdVersion
from red_stats.domain.triggers import HIGHEST, Trigger, is_over, raising
from red_stats.domain.windows import Tally, Window, add, bins_of, is_expired, minute_of

LATE: Final = -1  # no minute since 1970
_SHORT: Final = 1 << 16  # numbers below it are sorted by their digits, several times as fast
Raised = tuple[int, ThresholdVersion]  # row first
FIRST: Final = AlertSequence()
Key = TypeVar("Key")


class Folded(NamedTuple, Generic[Key]):
    """What a batch changes: whole new windows, alerts in order, sequences, and what was too late.

    Windows that the newest Kafka time leaves behind the retention are not among them. `kept` are the readings
    that are not erased.
    """

    windows: dict[Key, Window]
    alerts: list[Alert]
    sequences: dict[str, AlertSequence]
    horizon: int
    too_late: int
    kept: MeasurementColumns


def fold(
    readings: MeasurementColumns,
    *,
    partition: int,
    key_of: Callable[[str, int], Key],
    window_of: Callable[[Key], Window],
    versions_of: Callable[[str], Sequence[ThresholdVersion]],
    sequence_of: Mapping[str, AlertSequence],
    horizon: int,
    retention_ms: int,
    erased_of: ErasedOf = never,
) -> Folded[Key]:
    """Fold the readings of one partition, offsets ascending, onto the state behind them.

    `key_of(client_id, minute)` names a window. `horizon` is the newest Kafka time (ms) folded so far; it
    never goes back, so a broker's clock set back cannot reopen an expired window. Alerts come in the
    order of their offsets. What has been erased moves the horizon, as it did before, and nothing else.
    """
    windows: dict[Key, Window] = {}
    sequences: dict[str, AlertSequence] = {}
    if not len(readings):
        return Folded(windows, [], sequences, horizon, 0, readings)
    late, horizon = _too_late(readings, horizon, retention_ms)
    if (erased := readings.erased_rows(erased_of)) is not None:
        readings, late = readings.only(~erased), late[~erased]
        if not len(readings):
            return Folded(windows, [], sequences, horizon, 0, readings)
    raised: list[Raised] = []
    spans = [_spans(versions_of(client_id), readings) for client_id in readings.clients]
    for group in _grouped(readings, late, spans):
        tallies = _compared(group, readings, spans[group.client], raised)
        if group.minute == LATE or is_expired(group.minute, horizon, retention_ms):
            continue
        key = key_of(readings.clients[group.client], group.minute)
        windows[key] = add(window_of(key), group.bins, group.red_sum, tallies)
    if any(version.rearm_below is not None for versions in spans for version, _ in versions):
        for own, versions in zip(_by_client(readings), spans, strict=True):
            for version, _ in versions:
                raised += _crossed(own, readings, version, sequence_of, sequences)
    alerts = _alerts(readings, raised, sequence_of, sequences, partition)
    return Folded(windows, alerts, sequences, horizon, int(late.sum()), readings)


class _Group(NamedTuple):
    """The images of one client and minute: the rows of the readings, and their sums.

    `high` are the rows that are over the lowest of the client's thresholds.
    """

    client: int
    minute: int
    rows: Integers
    bins: bytes
    red_sum: int
    high: Sequence[int]


def _grouped(
    readings: MeasurementColumns, late: Integers, spans: Sequence[Sequence["_Span"]]
) -> Iterator[_Group]:
    """By client and minute; what is too late for its window is by client alone."""
    minutes = minute_of(readings.at)
    minutes[late] = LATE
    first = int(minutes.min())
    span = int(minutes.max()) - first + 1
    place = readings.client.astype(np.int64) * span + (minutes - first)
    if len(readings.clients) * span <= _SHORT:
        place = place.astype(np.uint16)
    order = np.argsort(place, kind="stable")
    place, reds, clients = place[order], readings.red_bp[order], readings.client[order]
    starts = np.flatnonzero(np.concatenate(([True], place[1:] != place[:-1])))
    ends = np.append(starts[1:], len(order))
    lowest = np.array([min([version.threshold_bp for version, _ in one], default=HIGHEST) for one in spans])
    high = np.flatnonzero(is_over(reds, lowest[clients]))
    high_rows, bins = order[high].tolist(), bins_of(reds)
    for client, minute, start, end, red_sum, high_start, high_end in zip(
        clients[starts].tolist(),
        minutes[order[starts]].tolist(),
        starts.tolist(),
        ends.tolist(),
        np.add.reduceat(reds, starts, dtype=np.int64).tolist(),
        np.searchsorted(high, starts).tolist(),
        np.searchsorted(high, ends).tolist(),
        strict=True,
    ):
        yield _Group(
            client, minute, order[start:end], bins[start:end], red_sum, high_rows[high_start:high_end]
        )


def _too_late(readings: MeasurementColumns, horizon: int, retention_ms: int) -> tuple[Integers, int]:
    """Of each row whether its window had left the retention at its Kafka time, and the new horizon."""
    newest = max(horizon, int(readings.logged_at.max()))
    if not is_expired(minute_of(int(readings.at.min())), newest, retention_ms):
        return np.zeros(len(readings), bool), newest
    horizons = np.maximum.accumulate(np.maximum(readings.logged_at, horizon))
    return is_expired(minute_of(readings.at), horizons, retention_ms), newest


class _Span(NamedTuple):
    """A threshold version, and whether its range of offsets covers the whole batch."""

    version: ThresholdVersion
    whole: bool


def _spans(versions: Sequence[ThresholdVersion], readings: MeasurementColumns) -> list[_Span]:
    first, last = int(readings.offset[0]), int(readings.offset[-1])
    return [_Span(one, one.covers(first) and one.covers(last)) for one in versions]


def _compared(
    group: _Group, readings: MeasurementColumns, spans: Sequence[_Span], raised: list[Raised]
) -> dict[str, Tally]:
    """By subscription: images compared with any of its versions, and those over.

    Added to `raised` where each of them raises an alert.
    """
    tallies: dict[str, Tally] = {}
    red_of, offset_of = readings.red_bp, readings.offset
    for version, whole in spans:
        rows: Sized = group.rows
        high = group.high
        if not whole:
            rows = [row for row in group.rows.tolist() if version.covers(offset_of[row])]
            high = [row for row in high if version.covers(offset_of[row])]
        if len(spans) > 1:
            high = [row for row in high if is_over(red_of[row], version.threshold_bp)]
        if version.rearm_below is None:
            young = _young(np.array(high, np.int64), readings, version).tolist() if high else ()
            raised += [(row, version) for row in young]
        if len(rows):
            name = version.subscription_id
            compared, over = tallies.get(name, (0, 0))
            tallies[name] = (compared + len(rows), over + len(high))
    return tallies


def _by_client(readings: MeasurementColumns) -> list[Integers]:
    """The rows of each client, ascending."""
    images = np.bincount(readings.client, minlength=len(readings.clients))
    return np.split(np.argsort(readings.client, kind="stable"), np.cumsum(images)[:-1])


def _crossed(
    rows: Integers,
    readings: MeasurementColumns,
    version: ThresholdVersion,
    sequence_of: Mapping[str, AlertSequence],
    sequences: dict[str, AlertSequence],
) -> list[Raised]:
    """Where a trigger that has to be armed raises an alert, if it is one; `sequences` takes its state.

    `rows` are the client's; those that the version does not judge neither arm nor disarm it.
    """
    if version.rearm_below is None:
        return []
    offsets = readings.offset[rows]
    end = len(rows) if version.until is None else np.searchsorted(offsets, version.until)
    judged = _young(rows[np.searchsorted(offsets, version.since) : end], readings, version)
    if not len(judged):
        return []
    name, trigger = version.subscription_id, Trigger(version.threshold_bp, version.rearm_below)
    before = sequences.get(name) or sequence_of.get(name, FIRST)
    armed = before.disarmed_at is None or before.disarmed_at < version.since
    turned, armed = raising(readings.red_bp[judged], trigger, armed)
    chosen = judged[turned].tolist()
    disarmed_at = before.disarmed_at if not chosen else int(readings.offset[chosen[-1]])
    after = before._replace(disarmed_at=None if armed else disarmed_at)
    if after != before:
        sequences[name] = after
    return [(row, version) for row in chosen]


def _young(rows: Integers, readings: MeasurementColumns, version: ThresholdVersion) -> Integers:
    """The images that were no older than the version's `max_age` at their Kafka time."""
    if version.max_age is None:
        return rows
    return rows[readings.logged_at[rows] - readings.at[rows] <= version.max_age * 1000]


def _alerts(
    readings: MeasurementColumns,
    raised: list[Raised],
    sequence_of: Mapping[str, AlertSequence],
    sequences: dict[str, AlertSequence],
    partition: int,
) -> list[Alert]:
    """The alerts in the order of their offsets; `sequences` goes on."""
    raised.sort(key=itemgetter(0))
    alerts = []
    for (_, version), reading in zip(raised, readings.taken([row for row, _ in raised]), strict=True):
        name = version.subscription_id
        before = sequences.get(name) or sequence_of.get(name, FIRST)
        sequences[name] = before._replace(seq=before.seq + 1)
        alerts.append(make(reading, version, before.seq + 1, partition))
    return alerts
