"""What a threshold, a trigger and an interval would have raised and sent over images of the past. Pure."""

from fractions import Fraction
from typing import Final, NamedTuple

import numpy as np

from red_stats.domain import intervals, triggers
from red_stats.domain.buckets import DAY, HOUR
from red_stats.domain.intervals import Interval
from red_stats.domain.measurement_columns import Integers
from red_stats.domain.triggers import Trigger

BUSIEST: Final = 10
SAMPLES: Final = 10
TOGETHER: Final = 1 << 18  # rows at a time, so that millions take no more memory than they have to


class Images(NamedTuple):
    """A client's images in a range of event time, in the order of their offsets; `at` in ms."""

    offset: Integers
    red_bp: Integers
    at: Integers


class Span(NamedTuple):
    """`[start, end)` of event time, ms since 1970."""

    start: int
    end: int

    @property
    def days(self) -> int:
        """The UTC days it touches."""
        return self.touched(DAY)

    def touched(self, width: int) -> int:
        """How many spans of `width` ms it touches, which begin at multiples of it."""
        return -(-self.end // width) - self.start // width if self.start < self.end else 0


class Day(NamedTuple):
    """A UTC day, or the part of one that is in the range; `start` in ms."""

    start: int
    images: int
    alerts: int
    webhooks: int


class Hour(NamedTuple):
    """A UTC hour, or the part of one that is in the range; `start` in ms."""

    start: int
    images: int
    alerts: int


class Preview(NamedTuple):
    """Sums of `days`, the hours with most alerts first, and rows of alerts spread over all of them."""

    images: int
    alerts: int
    webhooks: int
    days: list[Day]
    busiest_hours: list[Hour]
    samples: list[int]


def preview(images: Images, asked: Span, trigger: Trigger, interval_ms: int) -> Preview:
    """What a version in force for exactly these images would have raised, and when webhooks would have gone.

    A webhook that falls due behind the range counts in its last day.
    """
    rows, _ = triggers.raising(images.red_bp, trigger)
    raised = images.at[rows]
    webhooks, running = intervals.sent(raised, interval_ms, Interval())
    went = np.concatenate((webhooks.at, intervals.at_the_end(running).at))
    days = _days(asked, images.at, raised, went)
    hours = _busiest(asked, images.at, raised)
    return Preview(len(images.at), len(rows), len(went), days, hours, _spread(rows))


def threshold_for(
    images: Images, asked: Span, target: Fraction, *, crossing: bool, rearm_below: int | None
) -> int:
    """The smallest threshold (bp), from `rearm_below` on, with at most `target` alerts a day on average."""
    most = int(target * (asked.end - asked.start) / DAY)
    alerts = triggers.alerts_by_threshold(images.red_bp, crossing=crossing, rearm_below=rearm_below)
    lowest = rearm_below or 0
    return lowest + int(np.argmax(alerts[lowest:] <= most))


def _days(asked: Span, images: Integers, alerts: Integers, webhooks: Integers) -> list[Day]:
    starts = _starts(asked, np.arange(asked.days), DAY)
    counts = [_counted(asked, at, DAY).tolist() for at in (images, alerts, webhooks)]
    return [Day(*one) for one in zip(starts, *counts, strict=True)]


def _busiest(asked: Span, images: Integers, alerts: Integers) -> list[Hour]:
    """At most BUSIEST hours that have alerts; of those with as many, the earliest first."""
    among, counts = (_counted(asked, at, HOUR) for at in (images, alerts))
    hours = np.flatnonzero(counts)
    hours = hours[np.argsort(-counts[hours], kind="stable")[:BUSIEST]]
    starts = _starts(asked, hours, HOUR)
    return [Hour(*one) for one in zip(starts, among[hours].tolist(), counts[hours].tolist(), strict=True)]


def _counted(asked: Span, at: Integers, width: int) -> Integers:
    """How many of the times are in each span of `width` ms that the range touches; later ones in the last."""
    first, last = asked.start // width, max(asked.start, asked.end - 1)
    counts = np.zeros(asked.touched(width), np.int64)
    for begin in range(0, len(at), TOGETHER):
        spans = np.minimum(at[begin : begin + TOGETHER], last) // width - first
        counts += np.bincount(spans, minlength=len(counts))
    return counts


def _starts(asked: Span, spans: Integers, width: int) -> list[int]:
    return list(np.maximum((asked.start // width + spans) * width, asked.start).tolist())


def _spread(rows: Integers) -> list[int]:
    """At most SAMPLES of the rows, as far apart as they can be: the first and the last are among them."""
    if not len(rows):
        return []
    places = np.linspace(0, len(rows) - 1, min(len(rows), SAMPLES)).round().astype(np.int64)
    return list(rows[places].tolist())
