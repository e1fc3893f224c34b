"""The partitions that this process holds for one role, and its state for each.

At every rebalance, for every partition *assigned* (a worker that was paused through a rebalance
assumes that nothing changed): first a new producer epoch, which fences the predecessor, then
the changelogs read to their end. State lives per partition, so what is revoked is dropped whole.
See docs/architecture.md, "The four exactness rules", 1 and 2.
"""

import asyncio
import contextlib
import dataclasses
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import Any, Generic, NamedTuple, NoReturn, TypeVar

import msgspec

from red_common import failpoints
from red_common.kafka.connection import KafkaConnection, KafkaError, TopicPartition
from red_common.kafka.end_offsets import ends_of_logs
from red_stats import metrics
from red_stats.domain.dead_letters import shortened
from red_stats.domain.record_batches import Out, Record
from red_stats.kafka.changelog_loader import Load, load_to_end
from red_stats.kafka.transactions import Fenced, PartitionWriter, TooLarge, WriteFailed
from red_stats.tables.declarations import MARK_PREFIX, Rows, TableSet, changelogs_of
from red_stats.topics import group_of

log = logging.getLogger(__name__)

Tables = TypeVar("Tables", bound=TableSet)


class Mark(msgspec.Struct, frozen=True):
    """How far a source topic is folded in: the last offset, and the newest Kafka time seen (ms)."""

    offset: int = -1
    time: int = 0


def decode_mark(value: bytes) -> Mark:
    """A mark from the value of its changelog record.

    Raises:
        msgspec.MsgspecError: the value is not a mark.
    """
    return msgspec.json.decode(value, type=Mark)


def load_record(rows: Rows, marks: dict[str, Mark], key: bytes, value: bytes | None) -> None:
    """Apply one changelog record: a row, or the mark of a source topic.

    Raises:
        msgspec.MsgspecError, ValueError: it is neither; another program has written it.
    """
    if not key.startswith(MARK_PREFIX):
        rows.load(key, value)
    elif value is not None:
        marks[key[len(MARK_PREFIX) :].decode()] = decode_mark(value)


#: Rows of a table for some partitions with the end of the changelog of each, from somebody in this
#: process who follows it anyhow.
Follow = Callable[[Sequence[int]], Awaitable[Mapping[int, tuple[Any, int]]]]


class Effects(NamedTuple):
    """What a batch causes, decided before anything is written.

    `records` go out in one transaction with the marks; `apply` changes memory after the commit.
    `meanwhile` is what may begin while the first transaction is under way, whatever becomes of it.
    `elsewhere` are further records of the same transaction, by the partition they go to.
    """

    records: list[Out]
    marks: Mapping[str, Mark]
    apply: Callable[[], None]
    meanwhile: Callable[[], None] | None = None
    elsewhere: Mapping[int, Sequence[Out]] = MappingProxyType({})


class PartitionState(Generic[Tables]):
    """One partition held by this process: writer, lock, tables, marks."""

    def __init__(self, partition: int, tables: Tables, generation: int) -> None:
        self.partition = partition
        self.generation = generation
        self.lock = asyncio.Lock()
        self.closed = False
        self.writer: PartitionWriter | None = None
        self.marks: dict[str, Mark] = {}
        self.tables = tables
        self.failure: str | None = None  # of the last transaction, until one succeeds

    async def fence(self, connection: KafkaConnection, app_id: str) -> None:
        """Start a new producer epoch: whoever held the partition before can no longer write."""
        if self.writer is not None:
            await self.writer.stop()
        self.writer = PartitionWriter(connection, app_id, self.partition)
        await self.writer.start()

    async def close(self) -> None:
        """Stop folding and writing; called under the lock."""
        self.closed = True
        if self.writer is not None:
            await self.writer.stop()

    def failed(self, why: str) -> None:
        """Note why a transaction did not succeed."""
        self.failure = why

    def committed(self, marks: Mapping[str, Mark]) -> None:
        """Note the marks of a transaction that succeeded."""
        self.marks.update(marks)
        self.failure = None

    def mark(self, topic: str) -> Mark:
        """The mark of a source topic; offset -1 when nothing was folded yet."""
        return self.marks.get(topic, Mark())

    def replace(self, tables: Tables, marks: Mapping[str, Mark] | None = None) -> None:
        """Swap in tables that were read again or rebuilt; readers see all of the old or all of the new."""
        self.tables = tables
        if marks is not None:
            self.marks = dict(marks)


Build = Callable[[PartitionState[Tables]], Awaitable[Effects | None]]


async def do_nothing(state: PartitionState[Any]) -> None:
    """The default of `on_assigned`."""


class PartitionStates(Generic[Tables]):
    """Every partition of one role in this process, by number in `held`.

    Args:
        connection: how Kafka is reached.
        role: its consumer group and transactional ids are named after it.
        new_tables: makes the empty tables of a partition: a dataclass of `table` fields.
        fatal: ends the process; after a fence or a failed fold nothing more may be written.
        follow: by table, rows that need not be read, since this process follows their changelog.
        loading: a context in which changelogs are loaded.
        pause: how to wait between two attempts to reach Kafka.
        app_id: instead of the role's (tests).
    """

    def __init__(
        self,
        connection: KafkaConnection,
        role: str,
        new_tables: Callable[[], Tables],
        *,
        fatal: Callable[[str], NoReturn],
        follow: Mapping[str, Follow] | None = None,
        loading: Callable[[], AbstractContextManager[Any]] = contextlib.nullcontext,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        app_id: str | None = None,
    ) -> None:
        self.role = role
        self.app_id = app_id or group_of(role)
        self.changelogs = changelogs_of(new_tables())
        self.held: dict[int, PartitionState[Tables]] = {}
        self.generation = -1
        self.loading: frozenset[int] = frozenset()  # partitions whose changelogs are being read
        self.ends: dict[TopicPartition, int] = {}
        self.fatal = fatal
        self._connection = connection
        self._new_tables = new_tables
        self._follow = dict(follow or {})
        self._loading = loading
        self._pause = pause
        self._moved = asyncio.Condition()

    @property
    def marks_topic(self) -> str:
        """The changelog that carries the marks."""
        return next(iter(self.changelogs.values()))

    async def rebalance(
        self,
        partitions: Iterable[int],
        generation: int,
        *,
        on_assigned: Callable[[PartitionState[Tables]], Awaitable[None]] = do_nothing,
        on_revoked: Callable[[PartitionState[Tables]], None] = lambda state: None,
    ) -> None:
        """Load every assigned partition again and drop the others; idempotent per generation."""
        if generation == self.generation:
            return
        await self.close(on_revoked)
        started = time.monotonic()
        fresh = [PartitionState(number, self._new_tables(), generation) for number in sorted(set(partitions))]
        await asyncio.gather(*(state.fence(self._connection, self.app_id) for state in fresh))
        self.loading = frozenset(state.partition for state in fresh)
        try:
            await self._load(fresh)
        finally:
            self.loading = frozenset()
        for state in fresh:
            self.held[state.partition] = state
            await on_assigned(state)
        self.generation = generation
        seconds = time.monotonic() - started
        log.info("%s: %d partitions assigned, state loaded in %.2f s", self.app_id, len(fresh), seconds)
        await self._notify()

    async def transact(self, partition: int, build: Build[Tables], *, generation: int | None = None) -> bool:
        """Run `build` under the partition's lock, commit what it decides, then apply it to memory.

        After a failed transaction the state is read again and `build` decides anew: what had
        been committed after all is then below the mark. So `build` must cause nothing itself. If a topic
        refuses the size of what is written, the dead letters are cut; whatever else a fold writes is
        bounded, so that a second refusal is a matter of the topics' settings, and fatal.

        Returns:
            False when the partition is not held (any more, or in that generation).
        """
        state = self.held.get(partition)
        if state is None or (generation is not None and state.generation != generation):
            return False
        began = is_cut = False
        async with state.lock:
            while not state.closed:
                effects = await build(state)
                if effects is None:
                    return True
                if is_cut:
                    effects = effects._replace(records=list(map(shortened, effects.records)))
                if effects.meanwhile is not None and not began:
                    began = True
                    effects.meanwhile()
                try:
                    await self._commit(state, effects)
                except Fenced as error:
                    self.fatal(str(error))
                except TooLarge as error:
                    if is_cut:
                        self.fatal(str(error))
                    is_cut = True
                    state.failed(str(error))
                    log.warning("%s; dead letters are cut", error)
                    await self._retake(state)
                    continue
                except WriteFailed as error:
                    state.failed(str(error))
                    log.warning("a transaction failed, reading the state again: %s", error)
                    await self._retake(state)
                    continue
                await self._notify()
                return True
        return False

    async def reached(self, topic: str, partition: int, offset: int) -> None:
        """Returns once the mark of that partition has passed `offset`, whoever moved it."""
        async with self._moved:
            await self._moved.wait_for(
                lambda: partition in self.held and self.held[partition].mark(topic).offset >= offset
            )

    async def close(self, on_revoked: Callable[[PartitionState[Tables]], None] = lambda state: None) -> None:
        """Let running transactions finish, then stop the writers."""
        for state in list(self.held.values()):
            async with state.lock:  # what is under way ends first, so we never fence ourselves
                self.held.pop(state.partition, None)
                try:
                    on_revoked(state)
                finally:
                    await state.close()

    async def _commit(self, state: PartitionState[Tables], effects: Effects) -> None:
        assert state.writer is not None
        marks: list[Out] = [
            (self.marks_topic, MARK_PREFIX + topic.encode(), msgspec.json.encode(mark))
            for topic, mark in effects.marks.items()
        ]
        failpoints.hit(f"{self.role}.before-transaction")
        with metrics.TRANSACTION_SECONDS.labels(self.role).time():
            await state.writer.commit(
                effects.records + marks,
                lambda: failpoints.hit(f"{self.role}.in-transaction"),
                elsewhere=effects.elsewhere,
            )
        failpoints.hit(f"{self.role}.after-transaction")
        effects.apply()
        state.committed(effects.marks)

    async def _load(self, fresh: Sequence[PartitionState[Tables]]) -> None:
        loaders = {
            TopicPartition(changelog, state.partition): _loader(state, table, changelog)
            for state in fresh
            for table, changelog in self.changelogs.items()
            if table not in self._follow
        }
        if loaders:
            # to the end of the log: what we have committed may stand behind another producer's open
            # transaction, and who waits for that is late, but does not count again what was counted
            ends = await ends_of_logs(self._connection, loaders)
            with self._loading():
                self.ends.update(await load_to_end(self._connection, loaders, ends))
        for table, rows_of in self._follow.items():
            found = await rows_of([state.partition for state in fresh])
            for state in fresh:
                rows, end = found[state.partition]
                state.replace(dataclasses.replace(state.tables, **{table: rows}))
                self.ends[TopicPartition(self.changelogs[table], state.partition)] = end

    async def _retake(self, state: PartitionState[Tables]) -> None:
        """Fence and reload a partition whose last transaction has an unknown outcome."""
        while True:
            try:
                await state.fence(self._connection, self.app_id)
                # beside it: views go on reading what was
                read = PartitionState(state.partition, self._new_tables(), state.generation)
                await self._load([read])
                self._must_not_go_back(state, read)
                state.replace(read.tables, read.marks)
                return
            except (KafkaError, OSError) as error:
                log.warning("%s-%d: %r, trying again", self.app_id, state.partition, error)
                await self._pause(0.5)

    def _must_not_go_back(self, state: PartitionState[Tables], read: PartitionState[Tables]) -> None:
        """End the process if a mark went back: a restart folds again what the changelog has lost.

        Observed while Kafka shuts down: it acknowledges transactions of partitions without a leader and
        writes their end nowhere (docs/adr/0007-a-mark-that-fell.md).
        """
        for topic, mark in state.marks.items():
            if (now := read.mark(topic).offset) < mark.offset:
                self.fatal(
                    f"{self.app_id}-{state.partition}: Kafka has lost what it had acknowledged:"
                    f" {topic} was folded to {mark.offset}, now {now}; starting again from there"
                )

    async def _notify(self) -> None:
        async with self._moved:
            self._moved.notify_all()


def _loader(state: PartitionState[Any], table: str, changelog: str) -> Load:
    rows: Rows = getattr(state.tables, table)

    def take(records: Sequence[Record]) -> None:
        for record in records:
            try:
                load_record(rows, state.marks, record.key or b"", record.value)
            except (msgspec.MsgspecError, ValueError, RecursionError) as error:  # not ours: those can be read
                offset = record.offset
                log.error("%s/%d offset %d is no row: %s", changelog, state.partition, offset, error)

    return take
