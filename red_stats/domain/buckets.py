"""Buckets of time in a zone: minutes, hours, days, weeks from Monday and months. Pure.

All times are ms since 1970. Buckets tile a range: the first begins where the range does, each ends where the
next begins, and the last ends where the range does. Where a zone changes its offset, an hour ends and a day
has 23 or 25 hours; a day that a zone left out has no bucket.
"""

from collections.abc import Callable, Iterator
from datetime import datetime, tzinfo
from itertools import islice
from typing import Final

import numpy as np

SECOND: Final = 1_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
MONDAY: Final = -3 * DAY  # 1969-12-29
_LAST: Final = 253_400_000_000  # s, two days before the year 10000, where datetime ends

#: The start of the local bucket after the one that a local time (ms) is in.
_Next = Callable[[int], int]


def _every(width: int, origin: int = 0) -> _Next:
    return lambda local: (local - origin) // width * width + width + origin


def _next_month(local: int) -> int:
    month = np.datetime64(local, "ms").astype("datetime64[M]") + 1
    return int(month.astype("datetime64[ms]").astype(np.int64))


BUCKETS: Final[dict[str, _Next]] = {
    "minute": _every(MINUTE),
    "hour": _every(HOUR),
    "day": _every(DAY),
    "week": _every(7 * DAY, MONDAY),
    "month": _next_month,
}
_WITHIN_OFFSET: Final = ("minute", "hour")  # these end where the offset changes, the others do not


def starts(start: int, end: int, bucket: str, zone: tzinfo, most: int) -> list[int]:
    """Where the buckets of `[start, end)` begin, ascending; at most `most` of them.

    `bucket` is one of BUCKETS. None if the range is empty; the first is `start` itself.
    """
    return list(islice(_starts(start, end, bucket, zone), most))


def _starts(start: int, end: int, bucket: str, zone: tzinfo) -> Iterator[int]:
    next_local = BUCKETS[bucket]
    at = start
    while at < end:
        yield at
        offset = _offset(zone, at)
        local = next_local(at + offset)
        if bucket in _WITHIN_OFFSET:
            following = local - offset
            if _offset(zone, following) != offset:
                following = _change(zone, at, following)
        else:
            following = _instant(zone, local)
            while following <= at:  # a day that the zone left out
                local = next_local(local)
                following = _instant(zone, local)
        at = following


def _offset(zone: tzinfo, at: int) -> int:
    """Local time minus UTC (ms) at an instant."""
    seconds = min(max(at // SECOND, 0), _LAST)
    found = datetime.fromtimestamp(seconds, zone).utcoffset()
    return 0 if found is None else int(found.total_seconds()) * SECOND


def _instant(zone: tzinfo, local: int) -> int:
    """The first instant at which the zone's clocks show a local time, or if they never do, a later one."""
    before = _offset(zone, local - DAY)
    earlier = local - before
    if _offset(zone, earlier) == before:
        return earlier
    after = _offset(zone, local + DAY)
    later = local - after
    if _offset(zone, later) == after:
        return later
    return _change(zone, later, earlier)


def _change(zone: tzinfo, low: int, high: int) -> int:
    """The first instant in `(low, high]`, to the second, that has another offset than `low`."""
    offset = _offset(zone, low)
    low, high = low // SECOND, -(-high // SECOND)
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(zone, middle * SECOND) == offset:
            low = middle
        else:
            high = middle
    return high * SECOND
