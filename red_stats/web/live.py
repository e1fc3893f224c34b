"""`/v1/live`: totals, the windows of the last hour, its histogram, and counts per subscription."""

from typing import Any

from red_common.events import rfc3339
from red_stats.domain import windows
from red_stats.domain.measurements import WINDOW_MS, from_ms
from red_stats.domain.windows import Window
from red_stats.tables.live import LiveTables

HOUR_MS = 3_600_000
SPANS = {"1m": 60_000, "1h": HOUR_MS, "24h": 24 * HOUR_MS}


def live_of(tables: LiveTables, client_id: str, now: int) -> dict[str, Any]:
    """The view of one client at `now` (ms): half-open windows, totals of those that overlap a span."""
    last = windows.minute_of(now)
    hour = tables.windows.of(client_id, windows.minute_of(now - HOUR_MS), last)
    images = tables.windows.images_of(client_id)
    spans = {name: windows.minute_of(now - span) for name, span in SPANS.items()}
    client = tables.thresholds.get(client_id)
    return {
        "totals": {name: {"images": windows.tally(images, first, last)} for name, first in spans.items()},
        "windows": [_window(minute, window) for minute, window in hour.items()],
        "histogram": windows.histogram(hour.values()),
        "subscriptions": [
            {"id": s.id, "threshold": s.threshold, **_tallied(s.id, hour)}
            for s in (client.subscriptions if client else ())
        ],
    }


def _window(minute: int, window: Window) -> dict[str, Any]:
    return {
        "start": rfc3339(from_ms(minute * WINDOW_MS)),
        "end": rfc3339(from_ms((minute + 1) * WINDOW_MS)),
        "images": window.images,
        "red_mean": round(window.red_sum / window.images / 10000, 4),
    }


def _tallied(subscription_id: str, hour: dict[int, Window]) -> dict[str, int]:
    tallies = [window.subscriptions.get(subscription_id, (0, 0)) for window in hour.values()]
    return {"images": sum(t[0] for t in tallies), "over": sum(t[1] for t in tallies)}
