"""Tumbling windows of 60 s on event time (design 7).

Counted are images, the sum of red, a histogram of 100 bins, and images over each subscription as
its threshold stood then.

A window is `(images, red_sum, bins, subscriptions)`. `bins` holds one byte per image while there
are at most 100 of them, and 100 counts of four bytes after that: most windows of most clients
are small, and a million of them must fit into memory. `subscriptions` maps a subscription id to
`(images judged by it, images over it)`.
"""

from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from red_stats.domain.reading import WINDOW_MS

BINS: Final = 100
_DENSE: Final = BINS * 4
_BIN_OF: Final = tuple(min(red_bp // 100, BINS - 1) for red_bp in range(10_001))

Tally = tuple[int, int]


class Window(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The counts of one client in one minute."""

    images: int = 0
    red_sum: int = 0
    bins: bytes = b""
    subscriptions: dict[str, Tally] = {}


Changed = dict[tuple[str, int], Window]  # client_id, minute

EMPTY: Final = Window()
_decoder = msgspec.msgpack.Decoder(Window)
_encoder = msgspec.msgpack.Encoder()

encode = _encoder.encode
decode = _decoder.decode


def add(window: Window, reds: Sequence[int], tallies: Mapping[str, Tally]) -> Window:
    """The window after more images, `reds` their red_bp; the given one stays as it is."""
    told = _told(window.subscriptions, tallies) if tallies else window.subscriptions
    images = window.images + len(reds)
    bins = _merge(window.bins, window.images, reds, images)
    return Window(images, window.red_sum + sum(reds), bins, told)


def _told(before: Mapping[str, Tally], tallies: Mapping[str, Tally]) -> dict[str, Tally]:
    if not before:
        return dict(tallies)
    told = dict(before)
    for subscription_id, (judged, over) in tallies.items():
        had = told.get(subscription_id)
        told[subscription_id] = (judged, over) if had is None else (had[0] + judged, had[1] + over)
    return told


def _merge(bins: bytes, had: int, reds: Sequence[int], images: int) -> bytes:
    numbers = bytes([_BIN_OF[red] for red in reds])
    if images <= BINS:
        return bins + numbers
    dense = array("I", bins) if had > BINS else _dense(bins)
    for number in numbers:
        dense[number] += 1
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


def retained(changed: Changed, horizon: int, retention_ms: int) -> Changed:
    """Those of the changed windows, by client and minute, that the newest Kafka time leaves."""
    if not changed or not is_expired(min([minute for _, minute in changed]), horizon, retention_ms):
        return changed
    return {key: w for key, w in changed.items() if not is_expired(key[1], horizon, retention_ms)}


def tally(windows: Mapping[int, Window], first: int, last: int) -> int:
    """Images in the windows `first..last`, both included."""
    return sum(window.images for minute, window in windows.items() if first <= minute <= last)
