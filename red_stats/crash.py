"""The crash points of RED_STATS; what they are for is told in `red_service/crash.py`."""

from typing import Final

from red_service.crash import Points

POINTS: Final = (
    "live.before-transaction",
    "live.in-transaction",
    "live.after-transaction",
    "live.before-ack",
    "deliver.before-transaction",
    "deliver.in-transaction",
    "deliver.after-transaction",
    "deliver.before-ack",
    "deliver.before-post",
    "deliver.after-post",
    "record.before-transaction",
    "record.in-transaction",
    "record.after-transaction",
    "record.before-insert",
    "record.after-insert",
    "record.before-ack",
)
points: Final = Points(POINTS)
arm, at = points.arm, points.at
