"""Tumbling windows of 60 s on event time. Pure.

A window counts images, the sum of their red, a histogram of 100 bins, and for each subscription the
images over the threshold that was in force.

A window is `(images, red_sum, bins, subscriptions)`. `red_sum` is in basis points. `bins` holds one byte
per image while there are at most 100 of them, and 100 counts of four bytes after that: most windows of
most clients are small, and a million of them must fit into memory. `subscriptions` maps a subscription
id to `(images compared with its threshold, images over it)`.
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


class _Images(msgspec.Struct, frozen=True, array_like=True, gc=False):
    images: int = 0


_images_decoder = msgspec.msgpack.Decoder(_Images)


def images_in(value: bytes) -> int:
    """The images of the window in the value of a changelog record; 0 if it is none."""
    try:
        return _images_decoder.decode(value).images
    except (msgspec.MsgspecError, RecursionError):
        return 0


def decode(value: bytes) -> Window:
    """The window in the value of a changelog record.

    Raises:
        MsgspecError: it is none, or its counts contradict each other.
    """
    try:
        window = _decoder.decode(value)
    except RecursionError as error:
        raise msgspec.DecodeError("a window is not nested") from error
    images, bins = window.images, window.bins
    sound = len(bins) == images and max(bins, default=0) < BINS if images <= BINS else len(bins) == 4 * BINS
    if not sound:
        raise msgspec.ValidationError("its bins are not those of its images")
    return window


def bins_of(reds: npt.NDArray[Any]) -> bytes:
    """The bin (0..99) of each amount in basis points, one byte each."""
    return bytes(_BIN_OF[reds])


def add(window: Window, bins: bytes, red_sum: int, tallies: Mapping[str, Tally]) -> Window:
    """A new window with more images: their bins (see `bins_of`), their sum of red (bp), their tallies."""
    subscriptions = _summed(window.subscriptions, tallies) if tallies else window.subscriptions
    images = window.images + len(bins)
    merged = _merge(window.bins, window.images, bins, images)
    return Window(images, window.red_sum + red_sum, merged, subscriptions)


def _summed(before: Mapping[str, Tally], tallies: Mapping[str, Tally]) -> dict[str, Tally]:
    if not before:
        return dict(tallies)
    total = dict(before)
    for subscription_id, (compared, over) in tallies.items():
        had = total.get(subscription_id)
        total[subscription_id] = (compared, over) if had is None else (had[0] + compared, had[1] + over)
    return total


def _merge(bins: bytes, had: int, more: bytes, images: int) -> bytes:
    if images <= BINS:
        return bins + more
    dense = np.frombuffer(bins, np.uint32) if had > BINS else _dense(bins)
    return (dense + _dense(more)).tobytes()


def _dense(bins: bytes) -> "npt.NDArray[np.uint32]":
    return np.bincount(np.frombuffer(bins, np.uint8), minlength=BINS).astype(np.uint32)


def histogram(windows: Iterable[Window]) -> list[int]:
    """100 counts over all windows; bin i counts red_bp in [100 i, 100 i + 100), the last one 10000, too."""
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
    """The minute since 1970 of an event time (ms), or of an array; its window starts at `minute * 60_000`."""
    return at // WINDOW_MS


def key_of(client_id: str, minute: int) -> bytes:
    """The changelog key of a window."""
    return f"{client_id}|{minute}".encode()


def is_expired(minute: Any, horizon: Any, retention_ms: int) -> Any:
    """Whether a window ended at least `retention_ms` before the horizon (ms); for arrays, each."""
    return (minute + 1) * WINDOW_MS + retention_ms <= horizon


def tally(images: Mapping[int, int], first: int, last: int) -> int:
    """Of the images by minute, those in minutes `first` to `last`, both included."""
    return sum(count for minute, count in images.items() if first <= minute <= last)
