"""The alerts that were sent, how the store has them, and what became of each."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Any

from red_common.events import InvalidEvent
from red_common.kafka.connection import KafkaConnection, TopicPartition
from red_common.kafka.end_offsets import LogEnds
from red_stats import topics
from red_stats.domain import alerts
from red_stats.domain.delivery_kinds import of_alert
from red_stats.kafka.changelog_loader import read_to_end
from red_stats.kafka.dead_letters import letters
from red_stats.kafka.range_reader import read_range
from red_stats.replay.verify_scope import difference
from red_stats.replay.verify_waits import Waiting
from red_stats.store import queries
from red_stats.store.queries import Queries

STATES = ("delivered", "pending", "held", "exhausted", "cancelled")
Key = tuple[str, str]  # subscription_id, position of the measurement


class SentAlerts:
    """Every alert on red.alerts: its version, id, seq and place, and those that stand there twice."""

    def __init__(self) -> None:
        self.versions: dict[Key, int] = {}
        self.ids: dict[Key, str] = {}
        self.repeated: list[str] = []
        self.broken: list[str] = []
        self.unreadable: set[str] = set()  # positions of what is no alert
        self.lettered: set[str] = set()  # those of them that stand in the dead letters
        self._clients: dict[Key, str] = {}
        self._places: Counter[tuple[int, int]] = Counter()
        self._first: dict[int, int] = {}
        self._last: dict[int, int] = {}
        self._seq: dict[str, int] = {}

    @classmethod
    async def read(cls, connection: KafkaConnection, partitions: int, waiting: Waiting) -> "SentAlerts":
        """All of red.alerts, once deliver and record have passed it, and record all they led to.

        Raises:
            CouldNotRun: a role does not.
        """
        sent = cls()
        numbers = range(partitions)
        appliers = {TopicPartition(topics.ALERTS, number): sent.add for number in numbers}
        ends = LogEnds(connection)
        try:
            await read_to_end(connection, appliers, await ends.ends(appliers))
        finally:
            await ends.stop()
        await waiting.folded("deliver", topics.PENDING_CHANGELOG, topics.ALERTS, sent._last)
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
        key = (alert.subscription_id, alert.position)
        if key in self.versions:
            self.repeated.append(" ".join(key))
        before = self._seq.get(key[0])
        if alert.prev_seq != alert.seq - 1 or before not in (None, alert.prev_seq):
            self.broken.append(f"{key[0]} seq {alert.seq} after {before}")
        self._seq[key[0]] = alert.seq
        self.versions[key], self.ids[key] = alert.version, alert.id
        self._clients[key] = client_id
        self._places[place] += 1

    def keep(self, client_id: str | None, upto: Mapping[int, int]) -> None:
        """Keep only one client's, and only measurements up to an offset by partition."""
        for key in list(self.versions):
            partition, offset = map(int, key[1].split(":"))
            if offset > upto[partition] or client_id not in (None, self._clients[key]):
                del self.versions[key]

    async def became(self, store: Queries) -> dict[str, str]:
        """The last state of every delivery of an alert, by alert id."""
        rows = await asyncio.to_thread(store.query, *queries.last_states())
        return {str(alert_id): str(state) for alert_id, state in rows}

    async def recorded_twice(self, store: Queries) -> dict[str, Any] | None:
        """How the rows of the store's alerts differ from the log's records."""
        rows = await asyncio.to_thread(store.query, *queries.places_of_alerts())
        stored = Counter(
            (int(number), int(offset))
            for number, offset in rows
            if self._first.get(int(number), 0) <= int(offset) <= self._last.get(int(number), -1)
        )
        missing, extra = (self._places - stored).elements(), (stored - self._places).elements()
        return difference("clickhouse alerts", missing, extra)


def differences_of(
    implied: Mapping[Key, int], sent: SentAlerts, became: Mapping[str, str], stored: dict[str, Any] | None
) -> list[dict[str, Any] | None]:
    """Alerts that are missing, too many, out of order, or without a delivery; not those of other writers."""
    missing = [" ".join(key) for key, version in implied.items() if sent.versions.get(key) != version]
    extra = [" ".join(key) for key in sent.versions.keys() - implied.keys()]
    lost = [sent.ids[key] for key in sent.versions if sent.ids[key] not in became]
    return [
        difference("alerts", missing, extra + sent.repeated),
        difference("dead letters", sorted(sent.unreadable - sent.lettered), []),
        difference("seq", [], sent.broken),
        stored,
        difference("deliveries", lost, []),
    ]


def counted(implied: Mapping[Key, int], sent: SentAlerts, became: Mapping[str, str]) -> list[dict[str, Any]]:
    """Per subscription version: alerts implied, sent, and how many are in which state."""
    should = Counter((key[0], version) for key, version in implied.items())
    did = Counter((key[0], version) for key, version in sent.versions.items())
    states = Counter(
        (key[0], version, became.get(sent.ids[key], "")) for key, version in sent.versions.items()
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
