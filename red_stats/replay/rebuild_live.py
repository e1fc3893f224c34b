"""Role live's tables of one partition, replayed from the log while live goes on answering.

Tables that follow measurements come from red.measurements, compared with the versions kept on
red.command-results; lists and remembered answers from red.command-results. No alert is
raised again: those of what is replayed stand in the log already.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from red_common.kafka.connection import KafkaConnection, TopicPartition
from red_stats import topics
from red_stats.domain.command_history import CommandHistory
from red_stats.domain.record_batches import Out
from red_stats.domain.version_history import History
from red_stats.kafka.range_reader import read_range
from red_stats.replay.expected_state import ExpectedState
from red_stats.replay.partition_log import PartitionLog
from red_stats.tables.alert_sequences import SequenceRows
from red_stats.tables.command_results import AnswerRows
from red_stats.tables.declarations import changelogs_of, folds_of
from red_stats.tables.live import LiveTables
from red_stats.tables.partition_state import Effects, Mark, PartitionState, PartitionStates
from red_stats.tables.subscriptions import ThresholdRows

Rows = dict[str, Mapping[bytes, bytes]]  # table -> changelog key -> value


class CannotRebuild(Exception):
    """Raised when the log no longer holds what the tables were folded from; nothing was changed."""


class Rebuilt(NamedTuple):
    """Rows written by table, and how many rows in all differ from before."""

    partition: int
    rows: dict[str, int]
    changed: int


class LiveReplay:
    """One partition. `done` and `total` are offsets of red.measurements, for a progress bar."""

    def __init__(
        self,
        states: PartitionStates[LiveTables],
        number: int,
        *,
        connection: KafkaConnection,
        partitions: int,
        retention_ms: int,
    ) -> None:
        self._states, self._number, self._connection = states, number, connection
        self._retention_ms = retention_ms
        self._log = PartitionLog(number, partitions, ExpectedState(number, {}, retention_ms))
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
            state = self._states.held.get(self._number)
            if marks and marks[topics.MEASUREMENTS].offset >= self._log.end:
                raise CannotRebuild("an alert names a measurement that Kafka no longer has")
            mark = (marks or state.marks).get(topics.MEASUREMENTS, Mark()) if state else Mark()
            self.total = mark.offset + 1 - self._log.beginning
            await self._versions()
            await self._log.read_on(mark.offset)
            rebuilt: list[Rebuilt] = []

            async def build(state: PartitionState[LiveTables]) -> Effects:
                effects, summary = await self._effects(state, marks or {})
                rebuilt[:] = [summary]
                return effects

            if not await self._states.transact(self._number, build):
                raise CannotRebuild(f"partition {self._number} is not assigned to this worker (any more)")
            return rebuilt[0]
        finally:
            await self._log.close()

    async def _effects(
        self, state: PartitionState[LiveTables], marks: Mapping[str, Mark]
    ) -> tuple[Effects, Rebuilt]:
        mark = marks.get(topics.MEASUREMENTS) or state.mark(topics.MEASUREMENTS)
        answered = await self._versions()  # no command is handled while the lock is held
        await self._log.read_on(mark.offset)
        if marks:
            mark = Mark(mark.offset, self._log.folded.horizon)
            marks = {**marks, topics.MEASUREMENTS: mark}
        self._check(mark)
        fresh = self._tables(state, answered, mark)
        before, after = _encoded(state.tables), _encoded(fresh)
        changed = sum(
            before[table].get(key) != rows.get(key)
            for table, rows in after.items()
            for key in before[table].keys() | rows.keys()
        )
        summary = Rebuilt(self._number, {table: len(rows) for table, rows in after.items()}, changed)
        records = list(_records(self._states.changelogs, before, after))
        return Effects(records, marks, lambda: state.replace(fresh)), summary

    async def _versions(self) -> CommandHistory:
        """Read every command result so far; measurements folded next are compared with their versions."""
        tp = TopicPartition(topics.COMMAND_RESULTS, self._number)
        history, answered = History(), CommandHistory()
        for record in await read_range(self._connection, tp, 0, None):
            history.add(record.value)
            answered.add(record.value)
        self._log.folded.use_history(history)
        return answered

    def _check(self, mark: Mark) -> None:
        first, oldest = self._log.first_at, mark.time - self._retention_ms
        if self._log.beginning and first is not None and first > oldest:
            text = f"{topics.MEASUREMENTS}/{self._number} begins at offset {self._log.beginning}, after some"
            raise CannotRebuild(f"{text} of the windows that are still kept, so they cannot be rebuilt")

    def _tables(self, state: PartitionState[LiveTables], answered: CommandHistory, mark: Mark) -> LiveTables:
        folded = self._log.folded
        folded.prune(mark.time)
        made = dataclasses.replace(
            folded.tables,
            alert_sequences=SequenceRows(folded.tables.alert_sequences),
            thresholds=ThresholdRows(),
            answers=AnswerRows(),
        )
        if self._log.beginning:  # what Kafka dropped was counted too, and its alerts
            for name, held in state.tables.alert_sequences.items():
                folded_here = made.alert_sequences.get(name)
                if folded_here is None or held.seq >= folded_here.seq:
                    made.alert_sequences[name] = held
            kept = {name: getattr(state.tables, name) for name in folds_of(LiveTables)}
            made = dataclasses.replace(made, **kept)
        for client in answered.pruned(mark.offset).values():
            made.thresholds.put(client)
        made.answers.update(answered.answers)
        return made


def _encoded(tables: LiveTables) -> Rows:
    """The rows of each table, as its changelog has them."""
    return {name: getattr(tables, name).encoded() for name in changelogs_of(tables)}


def _records(changelogs: Mapping[str, str], before: Rows, after: Rows) -> Iterable[Out]:
    """Every row of `after`, and a tombstone for each key that only `before` has."""
    for table, changelog in changelogs.items():
        for key in before[table].keys() - after[table].keys():
            yield changelog, key, None
        for key, value in after[table].items():
            yield changelog, key, value
