"""Which alerts go out together in one webhook: at most one webhook in an interval. Pure.

The first alert goes out at once and begins an interval. Alerts within it go out together at its end, which
begins the next one; when none came, the next alert goes at once again.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from red_stats.domain.measurement_columns import Integers

TOGETHER: Final = 1 << 18  # alerts at a time: a million objects would take forty times their bytes


class Interval(NamedTuple):
    """The interval that runs: its end (ms; that moment belongs to the next one), and the alerts that wait."""

    end: int = 0
    waiting: int = 0


class Webhooks(NamedTuple):
    """When webhooks went out (ms), and how many alerts are in each."""

    at: Integers
    alerts: Integers


def sent(at: Integers, interval_ms: int, running: Interval) -> tuple[Webhooks, Interval]:
    """The webhooks that alerts caused, and the interval that runs behind the last alert.

    `at` are times of alerts (ms) in the order in which they were raised; one before the interval that runs
    waits for its end, since time does not go back. Without an interval every alert goes out at its time.
    """
    if not interval_ms:
        return Webhooks(at, np.ones(len(at), np.int64)), running
    parts = [_none()]
    for begin in range(0, len(at), TOGETHER):
        part, running = _sent(at[begin : begin + TOGETHER].tolist(), interval_ms, running)
        parts.append(part)
    return Webhooks(*map(np.concatenate, zip(*parts, strict=True))), running


def _sent(at: Sequence[int], interval_ms: int, running: Interval) -> tuple[Webhooks, Interval]:
    times, counts = [], []
    end, waiting = running
    for moment in at:
        if moment >= end and waiting:
            times.append(end)
            counts.append(waiting)
            end, waiting = end + interval_ms, 0
        if moment < end:
            waiting += 1
        else:
            times.append(moment)
            counts.append(1)
            end = moment + interval_ms
    return Webhooks(np.array(times, np.int64), np.array(counts, np.int64)), Interval(end, waiting)


def at_the_end(running: Interval) -> Webhooks:
    """The webhook at the end of the interval that runs; none if nothing waits."""
    if not running.waiting:
        return _none()
    return Webhooks(np.array([running.end], np.int64), np.array([running.waiting], np.int64))


def _none() -> Webhooks:
    return Webhooks(np.array([], np.int64), np.array([], np.int64))
