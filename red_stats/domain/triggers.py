"""Which images raise an alert: the rule that the live fold and the preview share. Pure.

Amounts and thresholds are in basis points; images come in the order of their offsets.
"""

from typing import Any, Final, NamedTuple

import numpy as np

from red_stats.domain.measurement_columns import Integers

HIGHEST: Final = 10_000  # no amount is over it


class Trigger(NamedTuple):
    """A threshold, and when an image over it raises an alert.

    `rearm_below` None: each of them does. Otherwise one does if the trigger is armed, and disarms it until
    an image with no more than `rearm_below` (at most the threshold) arms it again.
    """

    threshold: int
    rearm_below: int | None = None


def is_over(red: Any, threshold: Any) -> Any:
    """Whether an amount is over a threshold, or of each of many amounts."""
    return red > threshold


def raising(red: Integers, trigger: Trigger, armed: bool = True) -> tuple[Integers, bool]:
    """The rows that raise an alert, ascending, and whether the trigger is armed behind the last one.

    `armed` is how the images before left it; a version starts armed.
    """
    over = is_over(red, trigger.threshold)
    if trigger.rearm_below is None:
        return np.flatnonzero(over), armed
    turning = np.flatnonzero(over | (red <= trigger.rearm_below))
    if not len(turning):
        return turning, armed
    disarms = over[turning]
    was_armed = np.concatenate(([armed], ~disarms[:-1]))
    return turning[disarms & was_armed], not disarms[-1]


def alerts_by_threshold(red: Integers, *, crossing: bool, rearm_below: int | None) -> Integers:
    """How many alerts each threshold from 0 to HIGHEST would have raised, beginning armed.

    `rearm_below` None: it follows the threshold. Thresholds below `rearm_below` mean nothing.
    """
    if not crossing:
        return _over_each(red)
    if rearm_below is not None:
        return _over_each(_highest_of_each_round(red, rearm_below))
    # an image raises an alert of every threshold from the amount before it up to below its own
    before = np.concatenate(([0], red[:-1]))
    rises = red > before
    begin = np.bincount(before[rises], minlength=HIGHEST + 1)
    end = np.bincount(red[rises], minlength=HIGHEST + 1)
    return np.cumsum(begin - end)


def _highest_of_each_round(red: Integers, rearm_below: int) -> Integers:
    """The highest amount of each round of images: it begins armed, so a threshold raises one or none."""
    if not len(red):
        return red
    starts = np.flatnonzero(red <= rearm_below)
    if not len(starts) or starts[0]:
        starts = np.concatenate(([0], starts))
    return np.maximum.reduceat(red, starts)


def _over_each(red: Integers) -> Integers:
    counted = np.bincount(red, minlength=HIGHEST + 1)
    return len(red) - np.cumsum(counted)
