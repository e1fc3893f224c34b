"""Which partitions this process owns, and the state it holds for each (design 5, rules 1 and 2).

At every rebalance, for every partition *assigned* (a worker that slept through a rebalance
believes that nothing changed): first a new producer epoch, which fences the predecessor, then
the changelogs read to their end. State lives per partition, so what is lost is dropped whole.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn, Protocol

import msgspec

from red_common import failpoints
from red_common.kafka.connection import KafkaConnection, KafkaError, TopicPartition
from red_stats import metrics
from red_stats.domain.record_batches import Out, Record
from red_stats.kafka.changelog_loader import Load, load_to_end
from red_stats.kafka.transactions import Fenced, PartitionWriter, WriteFailed

log = logging.getLogger(__name__)

MARK_PREFIX = b"!"  # no client_id and no id begins with it


class Mark(msgspec.Struct, frozen=True):
    """How far a source topic is folded in: the last offset, and the newest Kafka time seen (ms)."""

    offset: int = -1
    time: int = 0


def decode_mark(value: bytes) -> Mark:
    """The mark in a changelog record."""
    return msgspec.json.decode(value, type=Mark)


class Rows(Protocol):
    """The rows of one table in one partition."""

    def load(self, key: bytes, value: bytes | None) -> object:
        """Take one changelog record over; None deletes."""


ReadAlready = Callable[[Sequence[int]], Awaitable[Mapping[int, tuple[Any, int]]]]


class TableSpec(NamedTuple):
    """A table: its name, its changelog topic, and how to make its rows for one partition.

    `read_already` gives the rows of partitions, and the end of the changelog of each, from somebody in
    this process who follows it anyhow.
    """

    name: str
    changelog: str
    new_rows: Callable[[], Any]
    read_already: ReadAlready | None = None


class NoRows(dict[bytes, bytes]):
    """A table of marks only."""

    def load(self, key: bytes, value: bytes | None) -> None:
        """Marks are taken by the ownership; nothing else is written here."""


class Effects(NamedTuple):
    """What a batch causes, decided before anything is written.

    `records` go out in one transaction with the mark; `apply` changes memory after the commit.
    """

    records: list[Out]
    marks: Mapping[str, Mark]
    apply: Callable[[], None]


class Owned:
    """One partition owned by this process: writer, lock, rows of every table, marks."""

    def __init__(self, number: int, tables: Iterable[TableSpec]) -> None:
        self.number = number
        self.generation = 0
        self.lock = asyncio.Lock()
        self.closed = False
        self.writer: PartitionWriter | None = None
        self.marks: dict[str, Mark] = {}
        self.rows: dict[str, Any] = {spec.name: spec.new_rows() for spec in tables}

    def mark(self, topic: str) -> Mark:
        """The mark of a source topic; offset -1 when nothing was folded yet."""
        return self.marks.get(topic, Mark())


Build = Callable[[Owned], Awaitable[Effects | None]]


class Ownership:
    """All partitions of one app in this process. The first table's changelog holds the marks."""

    def __init__(
        self,
        connection: KafkaConnection,
        app_id: str,
        tables: Sequence[TableSpec],
        *,
        fatal: Callable[[str], NoReturn],
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.app_id = app_id
        self._role = app_id.rpartition("-")[2]
        self.tables = tuple(tables)
        self.owned: dict[int, Owned] = {}
        self.generation = -1
        self.ends: dict[TopicPartition, int] = {}
        self._connection = connection
        self.fatal = fatal
        self.on_owned: list[Callable[[Owned], Awaitable[None]]] = []
        self.on_lost: list[Callable[[Owned], None]] = []
        self._pause = pause
        self._moved = asyncio.Condition()

    @property
    def marks_topic(self) -> str:
        """The changelog that carries the marks."""
        return self.tables[0].changelog

    async def on_rebalance(self, numbers: Iterable[int], generation: int) -> None:
        """Take every assigned partition anew and drop the others; idempotent per generation."""
        if generation == self.generation:
            return
        for owned in list(self.owned.values()):
            await self._close(owned)
        started = time.monotonic()
        fresh = [Owned(number, self.tables) for number in sorted(set(numbers))]
        await asyncio.gather(*(self._fence(owned) for owned in fresh))
        await self._load(fresh)
        for owned in fresh:
            owned.generation = generation
            self.owned[owned.number] = owned
            for told in self.on_owned:
                await told(owned)
        self.generation = generation
        seconds = time.monotonic() - started
        log.info("%s: %d partitions taken in %.2f s", self.app_id, len(fresh), seconds)
        await self._notify()

    async def transact(self, number: int, build: Build, *, generation: int | None = None) -> bool:
        """Run `build` under the partition's lock, commit what it says, then apply it to memory.

        After a failed transaction the state is read again and `build` decides anew: what had
        been committed after all is then below the mark.

        Returns:
            False when the partition is not owned (any more, or in that generation).
        """
        owned = self.owned.get(number)
        if owned is None or (generation is not None and owned.generation != generation):
            return False
        async with owned.lock:
            while not owned.closed:
                effects = await build(owned)
                if effects is None:
                    return True
                try:
                    await self._commit(owned, effects)
                except Fenced as error:
                    self.fatal(str(error))
                except WriteFailed as error:
                    log.warning("transaction failed, reading the state again: %s", error)
                    await self._retake(owned)
                    continue
                await self._notify()
                return True
        return False

    async def reached(self, topic: str, number: int, offset: int) -> None:
        """Returns once the mark of that partition has passed `offset`, whoever moved it."""
        async with self._moved:
            await self._moved.wait_for(
                lambda: number in self.owned and self.owned[number].mark(topic).offset >= offset
            )

    async def close(self) -> None:
        """Finish what is under way and stop the writers."""
        for owned in list(self.owned.values()):
            await self._close(owned)

    async def _commit(self, owned: Owned, effects: Effects) -> None:
        assert owned.writer is not None
        marks: list[Out] = [
            (self.marks_topic, MARK_PREFIX + topic.encode(), msgspec.json.encode(mark))
            for topic, mark in effects.marks.items()
        ]
        failpoints.hit(f"{self._role}.before-transaction")
        with metrics.TRANSACTION_SECONDS.labels(self._role).time():
            await owned.writer.commit(
                effects.records + marks, lambda: failpoints.hit(f"{self._role}.in-transaction")
            )
        failpoints.hit(f"{self._role}.after-transaction")
        effects.apply()
        owned.marks.update(effects.marks)

    async def _close(self, owned: Owned) -> None:
        async with owned.lock:  # what is under way ends first, so we never fence ourselves
            owned.closed = True
            self.owned.pop(owned.number, None)
            for told in self.on_lost:
                told(owned)
            if owned.writer is not None:
                await owned.writer.stop()

    async def _fence(self, owned: Owned) -> None:
        owned.writer = PartitionWriter(self._connection, self.app_id, owned.number)
        await owned.writer.start()

    async def _load(self, fresh: Sequence[Owned]) -> None:
        loaders = {
            TopicPartition(spec.changelog, owned.number): _loader(owned, spec)
            for owned in fresh
            for spec in self.tables
            if spec.read_already is None
        }
        if loaders:
            self.ends.update(await load_to_end(self._connection, loaders))
        for spec in self.tables:
            if spec.read_already is None:
                continue
            found = await spec.read_already([owned.number for owned in fresh])
            for owned in fresh:
                owned.rows[spec.name], end = found[owned.number]
                self.ends[TopicPartition(spec.changelog, owned.number)] = end

    async def _retake(self, owned: Owned) -> None:
        """New epoch and state for a partition whose last transaction has an unknown outcome."""
        while True:
            try:
                if owned.writer is not None:
                    await owned.writer.stop()
                await self._fence(owned)
                read = Owned(owned.number, self.tables)  # beside: views go on reading what was
                await self._load([read])
                self._must_not_fall(owned, read)
                owned.marks, owned.rows = read.marks, read.rows
                return
            except (KafkaError, OSError) as error:
                log.warning("%s-%d: %r, trying again", self.app_id, owned.number, error)
                await self._pause(0.5)

    def _must_not_fall(self, owned: Owned, read: Owned) -> None:
        """What was folded behind a mark that fell is not here any more: a new start reads it again.

        Seen when Kafka is stopped: it acknowledges transactions of partitions without a leader, and
        writes their end nowhere (docs/adr/0007).
        """
        for topic, mark in owned.marks.items():
            if (now := read.mark(topic).offset) < mark.offset:
                self.fatal(
                    f"{self.app_id}-{owned.number}: Kafka has lost what it had acknowledged:"
                    f" {topic} was folded to {mark.offset}, now {now}; starting again from there"
                )

    async def _notify(self) -> None:
        async with self._moved:
            self._moved.notify_all()


def _loader(owned: Owned, spec: TableSpec) -> Load:
    rows: Rows = owned.rows[spec.name]
    load = rows.load

    def take(records: Sequence[Record]) -> None:
        for record in records:
            key, value = record.key or b"", record.value
            try:
                if not key.startswith(MARK_PREFIX):
                    load(key, value)
                elif value is not None:
                    owned.marks[key[len(MARK_PREFIX) :].decode()] = decode_mark(value)
            except (msgspec.MsgspecError, ValueError) as error:  # somebody else's: ours can be read
                log.error("%s/%d offset %d is no row: %s", spec.changelog, owned.number, record.offset, error)

    return take
