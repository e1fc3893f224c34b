"""Tumbling windows of 60 s on event time (design 7).

Counted are images, the sum of red, a histogram of 100 bins, and images over each subscription as
its threshold stood then.

A window is `(images, red_sum, bins, subscriptions)`. `bins` holds one byte per image while there
are at most 100 of them, and 100 counts of four bytes after that: most windows of most clients
are small, and a million of them must fit into memory. `subscriptions` maps a subscription id to
`(images judged by it, images over it)`.
"""

from array import array
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import msgspec

from red_stats.domain.reading import WINDOW_MS

BINS: Final = 100
_DENSE: Final = BINS * 4

Tally = tuple[int, int]


class Window(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The counts of one client in one minute."""

    images: int = 0
    red_sum: int = 0
    bins: bytes = b""
    subscriptions: dict[str, Tally] = {}


EMPTY: Final = Window()
_decoder = msgspec.msgpack.Decoder(Window)
_encoder = msgspec.msgpack.Encoder()

encode = _encoder.encode
decode = _decoder.decode


class Counts(NamedTuple):
    """What one batch adds to one window: the redness of each image, and tallies."""

    reds: list[int]
    subscriptions: dict[str, list[int]]


def add(window: Window, counts: Counts) -> Window:
    """The window after the batch; the given one stays as it is."""
    tallies = window.subscriptions
    if counts.subscriptions:
        tallies = dict(tallies)
        for subscription_id, (images, over) in counts.subscriptions.items():
            before = tallies.get(subscription_id, (0, 0))
            tallies[subscription_id] = (before[0] + images, before[1] + over)
    images = window.images + len(counts.reds)
    bins = _merge(window.bins, window.images, counts.reds, images)
    return Window(images, window.red_sum + sum(counts.reds), bins, tallies)


def _merge(bins: bytes, had: int, reds: list[int], images: int) -> bytes:
    if images <= BINS:
        return bins + bytes([red // 100 if red < 10000 else 99 for red in reds])
    dense = array("I", bins) if had > BINS else _dense(bins)
    for red in reds:
        dense[red // 100 if red < 10000 else 99] += 1
    return dense.tobytes()


def _dense(bins: bytes) -> "array[int]":
    counts = array("I", bytes(_DENSE))
    for number in bins:
        counts[number] += 1
    return counts


def histogram(windows: Iterable[Window]) -> list[int]:
    """100 counts over all the windows; bin i holds red_bp in [100 i, 100 i + 100), the last 10000 too."""
    total = [0] * BINS
    for window in windows:
        if window.images > BINS:
            for number, count in enumerate(array("I", window.bins)):
                total[number] += count
        else:
            for number in window.bins:
                total[number] += 1
    return total


def minute_of(at: int) -> int:
    """Number of the window that holds an event time in ms; it starts at `minute * 60_000`."""
    return at // WINDOW_MS


def is_expired(minute: int, horizon: int, retention_ms: int) -> bool:
    """Whether a window has ended more than the retention before the newest Kafka time (ms)."""
    return (minute + 1) * WINDOW_MS + retention_ms <= horizon


def tally(windows: Mapping[int, Window], first: int, last: int) -> int:
    """Images in the windows `first..last`, both included."""
    return sum(window.images for minute, window in windows.items() if first <= minute <= last)
