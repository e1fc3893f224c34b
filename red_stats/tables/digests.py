"""Deliver's table of the intervals of one partition, and of the alerts that wait for their ends."""

import heapq
from collections.abc import Iterable

import msgspec

from red_stats.domain import alerts
from red_stats.domain.digests import Interval
from red_stats.domain.record_batches import Out

_decoder = msgspec.json.Decoder(Interval)
encode = msgspec.json.Encoder().encode


def alert_key(subscription_id: str, seq: int) -> bytes:
    """The changelog key of an alert that waits."""
    return f"{subscription_id}/{seq}".encode()


class Digests(dict[str, Interval]):
    """Intervals by subscription id; in `of` the subscription ids of each client.

    In `alerts` is the JSON of the alerts that wait, by subscription id and seq: of those that its body lists.
    """

    def __init__(self) -> None:
        super().__init__()
        self.of: dict[str, set[str]] = {}
        self.alerts: dict[str, dict[int, str]] = {}
        self._ends: list[tuple[int, str]] = []  # of intervals for whose end something waits, and stale ones

    def load(self, key: bytes, value: bytes | None) -> None:
        """Apply one changelog record; a value of None deletes.

        Raises:
            MsgspecError, ValueError: it is no row of ours; nothing has changed.
        """
        name, slash, seq = key.decode().partition("/")
        if slash:
            self._put_alert(name, int(seq), value)
        else:
            self._put(name, None if value is None else _decoder.decode(value))

    def apply(self, records: Iterable[Out]) -> None:
        """Apply committed changelog records of ours."""
        for _, key, value in records:
            self.load(key or b"", value)

    def due(self, at: int) -> list[str]:
        """The subscriptions whose interval has ended by `at` (ms) while alerts wait for that."""
        found = []
        while self._ends and self._ends[0][0] <= at:
            end, name = heapq.heappop(self._ends)
            if self._waits(end, name):
                found.append(name)
        for name in found:  # they stay until a digest is made, or cannot be
            heapq.heappush(self._ends, (self[name].end, name))
        return sorted(set(found))

    def next_due(self) -> Interval | None:
        """The interval that ends first of those for whose end something waits; None: nothing does."""
        while self._ends and not self._waits(*self._ends[0]):
            heapq.heappop(self._ends)
        return self[self._ends[0][1]] if self._ends else None

    def encoded(self) -> dict[bytes, bytes]:
        """Every row as its changelog has it, by key."""
        rows = {name.encode(): encode(interval) for name, interval in self.items()}
        for name, waiting in self.alerts.items():
            rows |= {alert_key(name, seq): alert.encode() for seq, alert in waiting.items()}
        return rows

    def _put(self, name: str, interval: Interval | None) -> None:
        old = self.pop(name, None)
        if old is not None:
            self.of[old.client_id].discard(name)
            if not self.of[old.client_id]:
                del self.of[old.client_id]
        if interval is None:
            return
        self[name] = interval
        self.of.setdefault(interval.client_id, set()).add(name)
        was_waiting = old is not None and old.count and not old.postponed and old.end == interval.end
        if interval.count and not interval.postponed and not was_waiting:
            heapq.heappush(self._ends, (interval.end, name))

    def _put_alert(self, name: str, seq: int, value: bytes | None) -> None:
        if value is not None:
            alerts.decode(value)
            self.alerts.setdefault(name, {})[seq] = value.decode()
        elif name in self.alerts:
            self.alerts[name].pop(seq, None)
            if not self.alerts[name]:
                del self.alerts[name]

    def _waits(self, end: int, name: str) -> bool:
        interval = self.get(name)
        return interval is not None and interval.count > 0 and not interval.postponed and interval.end == end
