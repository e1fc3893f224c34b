"""Role live's tables of one partition, replayed from the log while live goes on answering.

Windows and alert sequences come from red.measurements, judged by the versions that
red.command-results kept; lists and remembered answers from red.command-results. No alert is
raised again: those of what is replayed stand in the log already.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from red_common.kafka.connection import KafkaConnection, TopicPartition
from red_stats import topics
from red_stats.domain import subscriptions, windows
from red_stats.domain.command_history import Answered
from red_stats.domain.expected_state import History, Replayed
from red_stats.domain.record_batches import Out
from red_stats.kafka.range_reader import read_range
from red_stats.replay.partition_log import PartitionLog
from red_stats.tables.alert_sequences import SequenceRows
from red_stats.tables.command_results import REMEMBERED_ANSWERS, AnswerRows
from red_stats.tables.partition_state import Effects, Mark, Owned, Ownership
from red_stats.tables.subscriptions import ThresholdRows
from red_stats.tables.windows import WindowRows

CHANGELOGS: Final = {
    "windows": topics.WINDOWS_CHANGELOG,
    "alert_sequences": topics.ALERT_SEQUENCES_CHANGELOG,
    "thresholds": topics.SUBSCRIPTIONS,
    "answers": topics.ANSWERS_CHANGELOG,
}
Rows = dict[str, dict[bytes, bytes]]  # table -> changelog key -> value


class CannotRebuild(Exception):
    """Raised when the log does not hold what the fold was made of; nothing was changed."""


class Rebuilt(NamedTuple):
    """Rows written by table, and how many of all were other than before."""

    partition: int
    rows: dict[str, int]
    changed: int


class LiveReplay:
    """One partition. `done` and `total` are offsets of red.measurements, for a progress bar."""

    def __init__(
        self,
        ownership: Ownership,
        number: int,
        *,
        connection: KafkaConnection,
        partitions: int,
        retention_ms: int,
    ) -> None:
        self._ownership, self._number, self._connection = ownership, number, connection
        self._retention_ms = retention_ms
        self._log = PartitionLog(number, partitions, Replayed(number, {}, retention_ms))
        self.total = 0

    @property
    def done(self) -> int:
        """Offsets read."""
        return max(0, self._log.read_to + 1 - self._log.beginning)

    async def run(self, marks: Mapping[str, Mark] | None = None) -> Rebuilt:
        """Replay to live's mark, the last of it under the partition's lock, and commit it as one.

        `marks` stand in for live's, by source topic, when those are lost; they are written then.

        Raises:
            CannotRebuild: the partition is not held here, or the log begins too late.
            KafkaError: Kafka cannot be reached.
        """
        await self._log.open(self._connection)
        try:
            owned = self._ownership.owned.get(self._number)
            if marks and marks[topics.MEASUREMENTS].offset >= self._log.end:
                raise CannotRebuild("an alert names a measurement that Kafka has not (any more)")
            mark = (marks or owned.marks).get(topics.MEASUREMENTS, Mark()) if owned else Mark()
            self.total = mark.offset + 1 - self._log.beginning
            await self._judged()
            await self._log.read_on(mark.offset)
            rebuilt: list[Rebuilt] = []

            async def build(owned: Owned) -> Effects:
                effects, told = await self._effects(owned, marks or {})
                rebuilt[:] = [told]
                return effects

            if not await self._ownership.transact(self._number, build):
                raise CannotRebuild(f"partition {self._number} is not held here (any more)")
            return rebuilt[0]
        finally:
            await self._log.close()

    async def _effects(self, owned: Owned, marks: Mapping[str, Mark]) -> tuple[Effects, Rebuilt]:
        mark = marks.get(topics.MEASUREMENTS) or owned.mark(topics.MEASUREMENTS)
        answered = await self._judged()  # under the lock nobody decides a command
        await self._log.read_on(mark.offset)
        if marks:
            mark = Mark(mark.offset, self._log.folded.horizon)
            marks = {**marks, topics.MEASUREMENTS: mark}
        self._check(mark)
        fresh = self._rows(owned, answered, mark)
        before = _encoded(owned.rows)
        changed = sum(
            before[table].get(key) != rows.get(key)
            for table, rows in fresh.items()
            for key in before[table].keys() | rows.keys()
        )
        told = Rebuilt(self._number, {table: len(rows) for table, rows in fresh.items()}, changed)
        return Effects(list(_records(before, fresh)), marks, lambda: _apply(owned, fresh)), told

    async def _judged(self) -> Answered:
        """Every answer so far; what follows is judged by the versions they made."""
        tp = TopicPartition(topics.COMMAND_RESULTS, self._number)
        history, answered = History(), Answered(REMEMBERED_ANSWERS)
        for record in await read_range(self._connection, tp, 0, None):
            history.add(record.value)
            answered.add(record.value)
        self._log.folded.judges = history.judges()
        return answered

    def _check(self, mark: Mark) -> None:
        first, oldest = self._log.first_at, mark.time - self._retention_ms
        if self._log.beginning and first is not None and first > oldest:
            text = f"{topics.MEASUREMENTS}/{self._number} begins at offset {self._log.beginning}, after some"
            raise CannotRebuild(f"{text} of the windows that are kept: they cannot be made again")

    def _rows(self, owned: Owned, answered: Answered, mark: Mark) -> Rows:
        folded = self._log.folded
        folded.prune(mark.time)
        sequences = dict(folded.sequences)
        if self._log.beginning:  # the alerts of what Kafka dropped were counted too
            for name, seq in owned.rows["alert_sequences"].items():
                sequences[name] = max(seq, sequences.get(name, 0))
        clients = answered.pruned(mark.offset)
        return {
            "windows": {
                WindowRows.key(client_id, minute): windows.encode(window)
                for client_id, held in folded.windows.items()
                for minute, window in held.items()
            },
            "alert_sequences": {name.encode(): b"%d" % seq for name, seq in sequences.items()},
            "thresholds": {name.encode(): subscriptions.encode(client) for name, client in clients.items()},
            "answers": _answers(answered.answers),
        }


def _answers(answers: dict[str, OrderedDict[str, bytes]]) -> dict[bytes, bytes]:
    return {
        AnswerRows.key(client_id, command_id): value
        for client_id, given in answers.items()
        for command_id, value in given.items()
    }


def _encoded(rows: dict[str, Any]) -> Rows:
    """The rows held now, as their changelogs have them."""
    return {
        "windows": rows["windows"].encoded(),
        "alert_sequences": {name.encode(): b"%d" % seq for name, seq in rows["alert_sequences"].items()},
        "thresholds": {name.encode(): value for name, value in rows["thresholds"].encoded().items()},
        "answers": _answers(rows["answers"]),
    }


def _records(before: Rows, fresh: Rows) -> Iterable[Out]:
    """Everything anew, and tombstones for what is no more."""
    for table, changelog in CHANGELOGS.items():
        for key in before[table].keys() - fresh[table].keys():
            yield changelog, key, None
        for key, value in fresh[table].items():
            yield changelog, key, value


def _apply(owned: Owned, fresh: Rows) -> None:
    made: dict[str, Callable[[], Any]] = {
        "windows": WindowRows,
        "alert_sequences": SequenceRows,
        "thresholds": ThresholdRows,
        "answers": AnswerRows,
    }
    for table, new_rows in made.items():
        rows = new_rows()
        for key, value in fresh[table].items():
            rows.load(key, value)
        owned.rows[table] = rows
