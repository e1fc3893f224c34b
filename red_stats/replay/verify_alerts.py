"""The alerts that were sent, how the store has them, and what became of each."""

import asyncio
import bisect
import contextlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from red_common.events import InvalidEvent
from red_common.kafka.connection import KafkaConnection, TopicPartition
from red_common.kafka.end_offsets import LogEnds
from red_stats import topics
from red_stats.domain import alerts
from red_stats.domain.delivery_kinds import of_alert
from red_stats.domain.erasure import ErasedOf, never
from red_stats.kafka.changelog_loader import read_to_end
from red_stats.kafka.dead_letters import letters
from red_stats.kafka.range_reader import read_range
from red_stats.replay.verify_scope import difference
from red_stats.replay.verify_waits import Waiting
from red_stats.store import alert_queries
from red_stats.store.queries import Queries
from red_stats.tables.digests import Digests

STATES = ("delivered", "pending", "held", "exhausted", "cancelled", "waiting")
Key = tuple[str, str]  # subscription_id, position of the measurement


class SentAlerts:
    """Every alert on red.alerts: its version, id, seq and place, and those that stand there twice."""

    def __init__(self, erased_of: ErasedOf = never) -> None:
        self._erased_of = erased_of
        self.versions: dict[Key, int] = {}
        self.ids: dict[Key, str] = {}
        self.seqs: dict[Key, int] = {}
        self.repeated: list[str] = []
        self.broken: list[str] = []
        self.unreadable: set[str] = set()  # positions of what is no alert
        self.lettered: set[str] = set()  # those of them that stand in the dead letters
        self._clients: dict[Key, str] = {}
        self._places: Counter[tuple[int, int]] = Counter()
        self._first: dict[int, int] = {}
        self._last: dict[int, int] = {}
        self._waiting = Digests()
        self._seq: dict[str, int] = {}

    @classmethod
    async def read(
        cls, connection: KafkaConnection, partitions: int, waiting: Waiting, erased_of: ErasedOf
    ) -> "SentAlerts":
        """All of red.alerts but what is erased, once deliver and record have passed it and all it led to.

        Raises:
            CouldNotRun: a role does not.
        """
        sent = cls(erased_of)
        numbers = range(partitions)
        appliers = {TopicPartition(topics.ALERTS, number): sent.add for number in numbers}
        ends = LogEnds(connection)
        try:
            await read_to_end(connection, appliers, await ends.ends(appliers))
        finally:
            await ends.stop()
        await waiting.folded("deliver", topics.PENDING_CHANGELOG, topics.ALERTS, sent._last)
        # before the deliveries: what is made meanwhile is found as both
        await sent.read_digests(connection, numbers)
        await waiting.recorded("alerts", sent._last)
        if sent.unreadable:
            found = await letters(connection, partitions)
            sent.lettered.update(one.position for one in found if one.topic == topics.ALERTS)
        last: dict[int, int] = {}
        for number in numbers:
            tp = TopicPartition(topics.DELIVERIES, number)
            records = await read_range(connection, tp, 0, None)
            if records:
                last[number] = records[-1].offset
        await waiting.recorded("deliveries", last)
        return sent

    def add(self, record: Any) -> None:
        """Take one record of red.alerts over."""
        place = (record.partition, record.offset)
        self._first.setdefault(record.partition, record.offset)
        self._last[record.partition] = record.offset
        try:
            client_id = of_alert(record.key, record.value, at=0).client_id
            alert = alerts.decode(record.value)
        except InvalidEvent:
            self.unreadable.add(f"{place[0]}:{place[1]}")
            return
        if self._erased_of(client_id).holds_position(alert.position):
            return
        key = (alert.subscription_id, alert.position)
        if key in self.versions:
            self.repeated.append(" ".join(key))
        before = self._seq.get(key[0])
        if alert.prev_seq != alert.seq - 1 or before not in (None, alert.prev_seq):
            self.broken.append(f"{key[0]} seq {alert.seq} after {before}")
        self._seq[key[0]] = alert.seq
        self.versions[key], self.ids[key], self.seqs[key] = alert.version, alert.id, alert.seq
        self._clients[key] = client_id
        self._places[place] += 1

    def keep(self, client_id: str | None, upto: Mapping[int, int]) -> None:
        """Keep only one client's, and only measurements up to an offset by partition."""
        for key in list(self.versions):
            partition, offset = map(int, key[1].split(":"))
            if offset > upto[partition] or client_id not in (None, self._clients[key]):
                del self.versions[key]

    async def became(self, store: Queries) -> dict[str, list[str]]:
        """By alert id the last state of each delivery that it is in: one, or `waiting` for a digest."""
        rows = await asyncio.to_thread(store.query, *alert_queries.last_states())
        found: dict[str, list[str]] = defaultdict(list)
        digests: dict[str, list[tuple[int, int, str]]] = defaultdict(list)
        for alert_id, state, subscription_id, first, last in rows:
            if alert_id:
                found[str(alert_id)].append(str(state))
            else:
                digests[str(subscription_id)].append((int(first), int(last), str(state)))
        for one in digests.values():
            one.sort()
        for key, name in self.ids.items():
            found[name] += _holding(digests.get(key[0], []), self.seqs[key])
            interval = self._waiting.get(key[0])
            if not found[name] and interval and interval.first_seq <= self.seqs[key] <= interval.last_seq:
                found[name].append("waiting")
        return found

    async def read_digests(self, connection: KafkaConnection, partitions: Iterable[int]) -> None:
        """Note which alerts wait for a digest.

        Raises:
            KafkaError: Kafka cannot be reached.
        """
        tps = [TopicPartition(topics.DIGESTS_CHANGELOG, number) for number in partitions]
        ends = LogEnds(connection)
        async with ends.opened():
            await read_to_end(connection, dict.fromkeys(tps, self.add_digest), await ends.ends(tps))

    def add_digest(self, record: Any) -> None:
        """Take one record of the changelog of digests over; what is no row of ours tells nothing."""
        with contextlib.suppress(msgspec.MsgspecError, ValueError):
            self._waiting.load(record.key or b"", record.value)

    async def recorded_twice(self, store: Queries) -> dict[str, Any] | None:
        """How the rows of the store's alerts differ from the log's records."""
        rows = await asyncio.to_thread(store.query, *alert_queries.places_of_alerts())
        stored = Counter(
            (int(number), int(offset))
            for number, offset in rows
            if self._first.get(int(number), 0) <= int(offset) <= self._last.get(int(number), -1)
        )
        missing, extra = (self._places - stored).elements(), (stored - self._places).elements()
        return difference("clickhouse alerts", missing, extra)


def _holding(digests: Sequence[tuple[int, int, str]], seq: int) -> list[str]:
    """The states of the digests that hold an alert, which are in the order of their first `seq`."""
    upto = bisect.bisect_right(digests, seq, key=lambda one: one[0])
    return [state for first, last, state in digests[max(0, upto - 2) : upto] if first <= seq <= last]


def differences_of(
    implied: Mapping[Key, int],
    sent: SentAlerts,
    became: Mapping[str, list[str]],
    stored: dict[str, Any] | None,
) -> list[dict[str, Any] | None]:
    """Alerts that are missing, too many, out of order, or without a delivery; not those of other writers."""
    missing = [" ".join(key) for key, version in implied.items() if sent.versions.get(key) != version]
    extra = [" ".join(key) for key in sent.versions.keys() - implied.keys()]
    states = {sent.ids[key]: became.get(sent.ids[key], []) for key in sent.versions}
    lost = [name for name, found in states.items() if not found]
    twice = [name for name, found in states.items() if len(found) > 1]
    return [
        difference("alerts", missing, extra + sent.repeated),
        difference("dead letters", sorted(sent.unreadable - sent.lettered), []),
        difference("seq", [], sent.broken),
        stored,
        difference("deliveries", lost, twice),
    ]


def counted(
    implied: Mapping[Key, int], sent: SentAlerts, became: Mapping[str, list[str]]
) -> list[dict[str, Any]]:
    """Per subscription version: alerts implied, sent, and how many are in which state."""
    should = Counter((key[0], version) for key, version in implied.items())
    did = Counter((key[0], version) for key, version in sent.versions.items())
    states = Counter(
        (key[0], version, state)
        for key, version in sent.versions.items()
        for state in became.get(sent.ids[key], ())
    )
    return [
        {
            "id": name,
            "version": version,
            "implied": should[name, version],
            "sent": did[name, version],
            **{state: states[name, version, state] for state in STATES},
        }
        for name, version in sorted(should.keys() | did.keys())
    ]
