"""Tumbling windows of 60 s on event time.

Counted are images, the sum of red, a histogram of 100 bins, and images over each subscription as
its threshold stood then.

A window is `(images, red_sum, bins, subscriptions)`. `bins` holds one byte per image while there
are at most 100 of them, and 100 counts of four bytes after that: most windows of most clients
are small, and a million of them must fit into memory. `subscriptions` maps a subscription id to
`(images judged by it, images over it)`.
"""

from array import array
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from red_stats.domain.measurements import WINDOW_MS

BINS: Final = 100
_BIN_OF: Final = np.minimum(np.arange(10_001) // 100, BINS - 1).astype(np.uint8)

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


def bins_of(reds: npt.NDArray[Any]) -> bytes:
    """The number of the bin of each amount (red_bp), one byte each."""
    return bytes(_BIN_OF[reds])


def add(window: Window, bins: bytes, red_sum: int, tallies: Mapping[str, Tally]) -> Window:
    """The window after more images, `bins` as `bins_of` gives them; the given one stays as it is."""
    told = _told(window.subscriptions, tallies) if tallies else window.subscriptions
    images = window.images + len(bins)
    return Window(images, window.red_sum + red_sum, _merge(window.bins, window.images, bins, images), told)


def _told(before: Mapping[str, Tally], tallies: Mapping[str, Tally]) -> dict[str, Tally]:
    if not before:
        return dict(tallies)
    told = dict(before)
    for subscription_id, (judged, over) in tallies.items():
        had = told.get(subscription_id)
        told[subscription_id] = (judged, over) if had is None else (had[0] + judged, had[1] + over)
    return told


def _merge(bins: bytes, had: int, more: bytes, images: int) -> bytes:
    if images <= BINS:
        return bins + more
    dense = np.frombuffer(bins, np.uint32) if had > BINS else _dense(bins)
    return (dense + _dense(more)).tobytes()


def _dense(bins: bytes) -> "npt.NDArray[np.uint32]":
    return np.bincount(np.frombuffer(bins, np.uint8), minlength=BINS).astype(np.uint32)


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


def minute_of(at: Any) -> Any:
    """Number of the window that holds an event time in ms (arrays, too); it starts at `minute * 60_000`."""
    return at // WINDOW_MS


def key_of(client_id: str, minute: int) -> bytes:
    """The changelog key of a window."""
    return f"{client_id}|{minute}".encode()


def is_expired(minute: Any, horizon: Any, retention_ms: int) -> Any:
    """Whether a window has ended more than the retention before the newest Kafka time (ms); arrays, too."""
    return (minute + 1) * WINDOW_MS + retention_ms <= horizon


def tally(windows: Mapping[int, Window], first: int, last: int) -> int:
    """Images in the windows `first..last`, both included."""
    return sum(window.images for minute, window in windows.items() if first <= minute <= last)
