"""Live's tables as their changelogs tell, and how they differ from the log folded as far.

Windows are read to one mark. The tables beside them cannot be read at the same mark while live goes
on: they stand somewhere between it and a later one. A row that no measurement between the two changes
must be as the log implies.
"""

import contextlib
from collections.abc import Iterable
from typing import Any

import msgspec

from red_common.kafka.connection import KafkaConnection, TopicPartition
from red_common.kafka.end_offsets import LogEnds
from red_stats import topics
from red_stats.domain import windows
from red_stats.domain.windows import Window
from red_stats.kafka.changelog_loader import Ends, read_to_end
from red_stats.kafka.range_reader import read_range
from red_stats.replay.expected_state import ExpectedState
from red_stats.replay.verify_scope import Scope, difference
from red_stats.tables.declarations import MARK_PREFIX, changelogs_of, folds_of
from red_stats.tables.live import LiveTables
from red_stats.tables.partition_state import Mark, load_record

Found = dict[str, Any] | None
#: Tables beside windows that follow measurements.
BESIDE = ("alert_sequences", *folds_of(LiveTables))


class HeldTables:
    """Live's tables of one partition, with the mark of red.measurements."""

    def __init__(self) -> None:
        self.tables = LiveTables()
        self._marks: dict[str, Mark] = {}

    @property
    def mark(self) -> Mark:
        """How far red.measurements is folded in."""
        return self._marks.get(topics.MEASUREMENTS, Mark())

    def load(self, table: str, record: Any) -> None:
        """Apply one changelog record; what another program has written is skipped, as live does."""
        with contextlib.suppress(msgspec.MsgspecError, ValueError):
            load_record(getattr(self.tables, table), self._marks, record.key or b"", record.value)


async def read_windows(connection: KafkaConnection, partitions: int) -> tuple[dict[int, HeldTables], Ends]:
    """Windows and mark of each partition, and how far each changelog was read.

    Raises:
        KafkaError: Kafka cannot be reached.
    """
    held = {number: HeldTables() for number in range(partitions)}
    ends = await _read(connection, "windows", held, None)
    return held, ends


async def read_beside(connection: KafkaConnection, held: dict[int, HeldTables], read_to: Ends) -> None:
    """The other tables that follow measurements, and then a mark that none of their rows has passed.

    Raises:
        KafkaError: Kafka cannot be reached.
    """
    ends = LogEnds(connection)
    async with ends.opened():
        for table in BESIDE:
            noted = await ends.ends(_partitions_of(table, held))
            await _read(connection, table, held, noted)
        last = await ends.ends(read_to)
    for tp, start in read_to.items():
        for record in await read_range(connection, tp, start, last[tp]):
            if (record.key or b"").startswith(MARK_PREFIX):
                held[tp.partition].load("windows", record)


def _partitions_of(table: str, held: dict[int, HeldTables]) -> list[TopicPartition]:
    changelog = changelogs_of(LiveTables)[table]
    return [TopicPartition(changelog, number) for number in held]


async def _read(
    connection: KafkaConnection, table: str, held: dict[int, HeldTables], ends: Ends | None
) -> Ends:
    appliers = {
        tp: lambda record, one=held[tp.partition]: one.load(table, record)
        for tp in _partitions_of(table, held)
    }
    return await read_to_end(connection, appliers, ends)


def windows_differ(
    number: int, expected: ExpectedState, live: HeldTables, scope: Scope, retention_ms: int
) -> tuple[int, int, Found]:
    """Images in live's retained windows, in the log's of the same span, and how they differ."""
    horizon = live.mark.time

    def kept(client_id: str, minute: int) -> bool:
        return scope.client_id in (None, client_id) and not windows.is_expired(minute, horizon, retention_ms)

    def retained(held: Iterable[tuple[tuple[str, int], Window]]) -> dict[tuple[str, int], Window]:
        return {place: window for place, window in held if kept(*place)}

    of_log, of_live = retained(expected.tables.windows.items()), retained(live.tables.windows.items())
    missing = [f"{c} minute {m}" for (c, m), window in of_log.items() if of_live.get((c, m)) != window]
    extra = [f"{c} minute {m}" for c, m in of_live.keys() - of_log.keys()]
    counts = (sum(w.images for w in of_live.values()), sum(w.images for w in of_log.values()))
    return *counts, difference("live", missing, extra, partition=number)


def tables_differ(number: int, expected: ExpectedState, live: HeldTables) -> list[Found]:
    """How the rows of the other tables differ where nothing was `touched` since live's first mark."""
    found = []
    for table in BESIDE:
        of_log, of_live = (getattr(one.tables, table).encoded() for one in (expected, live))
        touched = {key for name, key in expected.touched if name == table}
        missing = [k.decode() for k, v in of_log.items() if k not in touched and of_live.get(k) != v]
        extra = [k.decode() for k in of_live.keys() - of_log.keys() - touched]
        found.append(difference(f"live {table}", missing, extra, partition=number))
    return found
