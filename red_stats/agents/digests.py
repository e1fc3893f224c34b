"""Which alerts get a delivery of their own, which wait for a digest, and when that is made."""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

import msgspec

from red_stats.domain import alerts, digests
from red_stats.domain.backlogs import Backlog
from red_stats.domain.deliveries import Row
from red_stats.domain.digests import LISTED, ROOM, Interval
from red_stats.domain.record_batches import Out
from red_stats.domain.subscriptions import Subscription
from red_stats.tables.deliver import DeliverTables
from red_stats.tables.digests import alert_key, encode

#: (client_id, subscription_id) -> the subscription as it is now; None: it is deleted, or not known yet
Find = Callable[[str, str], Subscription | None]


class Intervals:
    """What one transaction changes in the table `digests`: each step sees the changes of those before it.

    `certain` are the ids of deliveries that would be made in the same way by a second try of what was not
    committed, whatever becomes of the subscription meanwhile: their POSTs may begin beforehand. Of a
    subscription it is the first at most: whether a later one waits depends on what `min_interval` is by then.

    Args:
        tables: what role deliver holds for the partition.
        find: the subscription of a client as it is now.
        changed: rows that the same transaction changes, by delivery id; None: it ends.
    """

    def __init__(
        self,
        tables: DeliverTables,
        find: Find,
        changed: Mapping[str, Row | None] = MappingProxyType({}),
    ) -> None:
        self._tables = tables
        self._find = find
        self._rows = changed
        self._taken: set[str] = set()
        self._changed: dict[str, Interval | None] = {}
        self._alerts: dict[str, dict[int, str | None]] = {}  # by subscription, as `_waiting` fills it
        self._bytes: dict[str, int] = {}  # of the pending bodies of subscriptions, once somebody has asked
        self.certain: set[str] = set()

    def take(self, row: Row, backlog: Backlog | None = None) -> list[Row]:
        """The deliveries that an alert makes: a digest that falls due before it, and its own or none.

        Behind a backlog of its subscription that is closed, or with a `min_interval`, it waits for a digest
        although no interval runs: it cannot join the backlog, and its endpoint has no room for more.
        """
        name, at = row.subscription_id, row.since
        interval, made = self._current(name), []
        is_first = name not in self._taken
        self._taken.add(name)
        if interval is not None and interval.client_id != row.client_id:
            return [row]  # somebody names a subscription that is not theirs: it ends as one that is not known
        if interval is not None and not interval.postponed:
            interval = digests.as_of(interval, at)
        if interval is not None and interval.count and at >= interval.end:
            digest = self.close(name, max(at, interval.end) if interval.postponed else interval.end)
            if digest is not None:
                made.append(digest)
            interval = self._current(name)
        if interval is not None and (at < interval.end or interval.count):
            self._join(name, interval, row)
            return made
        seconds = self._seconds(row.client_id, name)
        if backlog is not None and (backlog.closed or seconds):
            self._join(name, digests.begun(row.client_id, at, seconds), row)
            return made
        if is_first and name not in self._changed:
            self.certain.add(row.id)
        if interval is not None or seconds:
            self._changed[name] = digests.after(row.client_id, at, seconds)
            self._take_up_room(row)
        return [*made, row]

    def close(self, name: str, due: int) -> Row | None:
        """The digest of what waits, due at `due` (ms); None if nothing waits, or the digest has to.

        Nothing is made for a disabled subscription, nor while too much of its endpoint waits: what comes
        until then goes out with it.
        """
        interval = self._current(name)
        if interval is None or not interval.count:
            return None
        subscription = self._find(interval.client_id, name)
        if (subscription is not None and not subscription.enabled) or self._has_no_room(name):
            if not interval.postponed:
                self._changed[name] = msgspec.structs.replace(interval, postponed=True)
            return None
        seconds = subscription.min_interval if subscription is not None else 0
        return self._end(name, interval, due, digests.after(interval.client_id, due, seconds))

    def go_on(self, name: str, at: int) -> Row | None:
        """The digest that could not be made before, at `at` (ms), if it can be now."""
        interval = self._current(name)
        return (
            self.close(name, max(at, interval.end)) if interval is not None and interval.postponed else None
        )

    def end(self, name: str, at: int) -> Row | None:
        """The digest of what waits for a subscription that was deleted; its interval ends."""
        interval = self._current(name)
        if interval is not None and interval.count:
            return self._end(name, interval, at, None)
        if interval is not None:
            self._changed[name] = None
        return None

    def drop(self, name: str) -> None:
        """Forget an interval and what waits, without a trace."""
        self._forget_alerts(name)
        self._changed[name] = None

    def records(self, changelog: str) -> list[Out]:
        """The changelog records of what has changed."""
        found: list[Out] = []
        for name, waiting in self._alerts.items():
            for seq, alert in waiting.items():
                if alert != self._tables.digests.alerts.get(name, {}).get(seq):
                    found.append((changelog, alert_key(name, seq), None if alert is None else alert.encode()))
        for name, interval in self._changed.items():
            found.append((changelog, name.encode(), None if interval is None else encode(interval)))
        return found

    def _current(self, name: str) -> Interval | None:
        return self._changed[name] if name in self._changed else self._tables.digests.get(name)

    def _seconds(self, client_id: str, name: str) -> int:
        subscription = self._find(client_id, name)
        return subscription.min_interval if subscription is not None else 0

    def _join(self, name: str, interval: Interval, row: Row) -> None:
        alert = alerts.decode(row.data.encode())
        if interval.count < LISTED:
            self._waiting(name)[alert.seq] = digests.as_listed(alert)
        self._changed[name] = digests.joined(interval, alert)

    def _end(self, name: str, interval: Interval, due: int, following: Interval | None) -> Row:
        waiting = self._waiting(name)
        listed = [alert for _, alert in sorted(waiting.items()) if alert is not None]
        digest = digests.digest_of(name, interval, listed, due)
        self._forget_alerts(name)
        self._changed[name] = following
        self._take_up_room(digest)
        return digest

    def _waiting(self, name: str) -> dict[int, str | None]:
        if name not in self._alerts:
            self._alerts[name] = dict(self._tables.digests.alerts.get(name, {}))
        return self._alerts[name]

    def _forget_alerts(self, name: str) -> None:
        self._alerts[name] = dict.fromkeys(self._waiting(name))

    def _take_up_room(self, row: Row) -> None:
        self._bytes[row.subscription_id] = self._pending_bytes(row.subscription_id) + len(row.data)

    def _has_no_room(self, name: str) -> bool:
        return self._pending_bytes(name) >= ROOM

    def _pending_bytes(self, name: str) -> int:
        if name not in self._bytes:  # an endpoint may have thousands of rows, and a batch as many alerts
            rows = self._tables.pending.of.get(name, {}).values()
            self._bytes[name] = sum(len(row.data) for row in rows if self._rows.get(row.id, row) is not None)
        return self._bytes[name]


def rows_of(found: Iterable[Row | None]) -> list[Row]:
    """The deliveries among what was found."""
    return [row for row in found if row is not None]
