"""The sink protocol: compare-and-set inserts with a marker row per batch.

Rule 4 of docs/architecture.md, "The four exactness rules"; docs/reliability.md has what it was put through.

The deduplication token names the expected next offset, so among rivals that hold the same offsets, however
batched, one wins; reading the mark back shows which. chDB swallows failed writes, so the new part is
checked before anything is acknowledged.
"""

import logging
import time
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from red_common import failpoints
from red_stats import metrics
from red_stats.domain.column_batch import ColumnBatch
from red_stats.store import queries
from red_stats.store.clickhouse import Store, StoreError, StoreUnusable
from red_stats.store.native_format import Columns
from red_stats.store.queries import DATABASE

log = logging.getLogger(__name__)

ALARM_BUMPS = 3
STALE_SECONDS = 60.0  # after that, read the mark before an insert: the engine may have forgotten the token


class Rows(NamedTuple):
    """A batch of one partition from `first` (the expected next offset) to `last`, ready to insert.

    `parts` have the readable rows, in the order of `columns`, with their offsets; `last` is the last
    offset of the batch, readable or not, and `at` the Kafka time of its first record (ms).
    """

    topic: str
    partition: int
    first: int
    last: int
    at: int
    columns: Sequence[str]
    parts: Sequence[ColumnBatch]

    @property
    def size(self) -> int:
        """The number of readable rows."""
        return sum(len(part.offsets) for part in self.parts)


class ConcurrentWriter(Exception):
    """Raised when another writer has recorded some of the batch: build it again from offset `next`."""

    def __init__(self, following: int) -> None:
        super().__init__(f"the next offset is {following}")
        self.next = following


class MarkWentBack(Exception):
    """Raised when recorded batches are gone from the store: the log must be read again from its mark."""


class LastMark(NamedTuple):
    """A partition's mark (next offset) as last read, the store epoch, and when (monotonic seconds)."""

    mark: int
    epoch: int
    at: float


class Sink:
    """Writes one table from one writer thread; `empty` are the event columns of a marker row."""

    def __init__(
        self, store: Store, table: str, empty: Sequence[Any], *, pause: Callable[[float], None]
    ) -> None:
        self.store = store
        self.table = table
        self._empty = list(empty)  # the event columns of a marker row
        self._pause = pause
        self._failed_since_open = False
        self._last_marks: dict[int, LastMark] = {}

    def beside(self, table: str) -> "Sink":
        """A sink for another table with the same columns."""
        return Sink(self.store, table, self._empty, pause=self._pause)

    def next_offset(self, partition: int) -> int | None:
        """The offset after the last recorded one; None if the partition has no marker row.

        Raises:
            StoreError: the store cannot be used.
        """
        [[count, last]] = self.store.query(*queries.mark(self.table, partition))
        following = int(last) + 1 if count else None
        self._note_mark(partition, following)
        return following

    def gaps(self, partition: int) -> list[tuple[int, int]]:
        """Holes in the chain of marker rows: ranges `[from, to)` whose batch was recorded and is gone.

        Raises:
            StoreError: the store cannot be used.
        """
        rows = self.store.query(
            f"SELECT batch_first, kafka_offset FROM {DATABASE}.{self.table}"
            " WHERE client_id = '' AND kafka_partition = {p:UInt16} ORDER BY kafka_offset",
            {"p": partition},
        )
        expected, holes = None, []
        for first, last in rows:
            if expected is not None and first > expected:
                holes.append((expected, int(first)))
            expected = last + 1
        return holes

    def write(self, rows: Rows, *, refill: bool = False) -> None:
        """Record a batch exactly once; blocks and retries until it is recorded.

        `refill` puts a batch into a hole below the mark.

        Raises:
            ConcurrentWriter: another writer has recorded some of it meanwhile.
            MarkWentBack: what was recorded before it is gone; nothing of it may be inserted.
            StoreUnusable: the store cannot be opened again.
        """
        token = f"{rows.topic}/{rows.partition}/{rows.first}" + ("#refill" if refill else "")
        bumps = failures = 0
        while True:
            try:
                is_recorded = not refill and self._is_stale(rows.partition) and self._stands(rows, refill)
                if not is_recorded:
                    failpoints.hit("record.before-insert")
                    with metrics.INSERT_SECONDS.labels(self.table).time():
                        self._insert(rows, token + (f"#{bumps}" if bumps else ""))
                        failpoints.hit("record.after-insert")
                        is_recorded = self._stands(rows, refill)
            except StoreError as error:
                failures += 1
                self._failed_since_open = True
                metrics.INSERT_RETRIES.inc()
                log.warning("%s: insert failed, retrying: %s", self.table, _short(error))
                self._pause(min(0.1 * 2**failures, 5.0))
                if failures % 5 == 0:
                    self._reopen()
                continue
            if is_recorded:
                metrics.ROWS.labels(self.table).inc(rows.size)
                return
            metrics.INSERT_RETRIES.inc()
            if self._failed_since_open:
                self._reopen()
                continue
            bumps += 1
            level = logging.ERROR if bumps >= ALARM_BUMPS else logging.WARNING
            log.log(level, "%s: token %s was used before, retrying with #%d", self.table, token, bumps)
            self._pause(min(0.05 * 2**bumps, 5.0))

    def _stands(self, rows: Rows, refill: bool) -> bool:
        """Whether our batch is recorded.

        Raises:
            ConcurrentWriter: another batch is.
            MarkWentBack: the mark is lower than before.
        """
        if refill:
            mark, part, first = self._mark(rows.partition, f" AND kafka_offset <= {rows.last:d}")
        else:
            mark, part, first = self._newest(rows)
        if not refill:
            self._check_not_back(rows, mark)
        ours = mark == rows.last + 1 and first == rows.first
        if ours and self.store.embedded and not self._part_is_whole(part):
            self._failed_since_open = True
            return False
        if not refill:
            self._note_mark(rows.partition, mark)
        if ours:
            return True
        if mark is None or mark <= rows.first:
            return False
        raise ConcurrentWriter(mark)

    def _check_not_back(self, rows: Rows, mark: int | None) -> None:
        """Fail if the mark went back: the caller holds no records below its batch to fill the hole with."""
        seen = self._last_marks.get(rows.partition)
        known = seen.mark if seen else rows.first if mark is not None else 0
        if (mark or 0) < known:
            log.error("%s/%d: the mark went back from %d to %s", self.table, rows.partition, known, mark)
            raise MarkWentBack(f"{self.table}/{rows.partition}: the mark went back from {known} to {mark}")

    def _note_mark(self, partition: int, mark: int | None) -> None:
        self._last_marks[partition] = LastMark(mark or 0, self.store.epoch, time.monotonic())

    def _is_stale(self, partition: int) -> bool:
        """Whether, since the mark was read, the store was reopened or the token may have been forgotten."""
        seen = self._last_marks.get(partition)
        return seen is None or seen.epoch != self.store.epoch or time.monotonic() - seen.at > STALE_SECONDS

    def _newest(self, rows: Rows) -> tuple[int | None, str, int | None]:
        """The partition's mark; looked for at and after the batch first, which is nearly always enough."""
        found = self._mark(rows.partition, f" AND kafka_offset >= {rows.first:d}")
        return self._mark(rows.partition, "") if found[0] is None else found

    def _mark(self, partition: int, where: str) -> tuple[int | None, str, int | None]:
        rows = self.store.query(
            "SELECT count(), max(kafka_offset), argMax(_part, kafka_offset),"
            f" argMax(batch_first, kafka_offset) FROM {DATABASE}.{self.table}"
            f" WHERE client_id = '' AND kafka_partition = {{p:UInt16}}{where}",
            {"p": partition},
        )
        count, last, part, first = rows[0]
        return (int(last) + 1, str(part), int(first)) if count else (None, "", None)

    def _insert(self, rows: Rows, token: str) -> None:
        total = rows.size
        columns = (
            *rows.columns, "kafka_partition", "kafka_offset", "batch_first", "batch_rows", "batch_at",
        )  # fmt: skip
        groups = [[*part.columns, *_place(rows, part)] for part in rows.parts]
        marker = *self._empty, rows.partition, rows.last, rows.first, total, rows.at
        self.store.insert(self.table, columns, [*groups, [[value] for value in marker]], token)

    def _part_is_whole(self, part: str) -> bool:
        """Check a part on disk: chDB goes on after a failed write() that left an empty or short file."""
        checked = self.store.query(
            f"CHECK TABLE {DATABASE}.{self.table} PART '{part}' SETTINGS check_query_single_value_result = 0"
        )
        sound = all(str(row[1]) == "1" for row in checked)
        paths = self.store.query(
            "SELECT path FROM system.parts"
            " WHERE database = {d:String} AND table = {t:String} AND name = {n:String}",
            {"d": DATABASE, "t": self.table, "n": part},
        )
        files = [file for (path,) in paths for file in Path(path).glob("*") if file.is_file()]
        if sound and all(file.stat().st_size or _may_be_empty(file) for file in files):
            return True
        log.error("%s: part %s is damaged on disk", self.table, part)
        return False

    def _reopen(self) -> None:
        log.warning("%s: reopening the store to see what is on the disk", self.table)
        try:
            self.store.reopen()
        except (StoreError, StoreUnusable) as error:
            raise StoreUnusable(str(error)) from error
        self._failed_since_open = False


def _place(rows: Rows, part: ColumnBatch) -> Columns:
    """The columns that say which records the rows of a part come from, and which batch they belong to."""
    count = len(part.offsets)
    first, total, at = array("Q", [rows.first]), array("I", [rows.size]), array("q", [rows.at])
    return [array("H", [rows.partition]) * count, part.offsets, first * count, total * count, at * count]


def _may_be_empty(file: Path) -> bool:
    """Whether it is a column of a wide part, all of whose values may be defaults: CHECK knows its length."""
    return file.suffix == ".bin" and file.name != "data.bin"


def _short(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300] if str(error).strip() else repr(error)
