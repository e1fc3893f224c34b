"""Records on their way in and out: batches of a partition, unpacked when they are folded."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

#: A record to be written, to the partition of its writer unless told otherwise: topic, key, value.
Out = tuple[str, bytes | None, bytes | None]


class TableChange(NamedTuple):
    """What a batch changes in one table: values by changelog key, None deletes; and what it emits."""

    rows: Mapping[bytes, bytes | None]
    events: Sequence[Out] = ()


class Record(Protocol):
    """A record as aiokafka decodes it; `timestamp` in ms since 1970."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


class RecordBatch:
    """A record batch of the log, unpacked when it is folded instead of in the thread that fetches.

    `size` is the number of its records, or of its KiB if those are more: limits count both.

    It stands in for aiokafka's own batch while aiokafka walks over what it fetched (aborted
    transactions, control batches, checksums), and looks there like one record: the last of the batch.
    """

    start = 0  # records below this offset were not asked for
    generation = -1  # the one its partition had last been sought for when it left the fetcher
    lag = 0  # readable records after it, as far as the fetch knew

    def __init__(self, batch: Any) -> None:
        self._batch = batch
        self._records: list[Record] | None = None
        self.offset: int = batch.next_offset - 1
        records: int = batch.next_offset - batch.base_offset  # more than it has, after compaction
        self.size = max(records, len(self.content or b"") >> 10)
        self.timestamp: int = batch.max_timestamp

    def note_fetch(self, start: int, generation: int) -> None:
        """Note, as it leaves the fetcher, the offset its unread records begin at, and the generation."""
        self.start, self.generation = start, generation

    def note_lag(self, records: int) -> None:
        """Note how many records can be read after it."""
        self.lag = records

    @property
    def content(self) -> memoryview | None:
        """The bytes of the record batch as they are in the log; None where they are not known."""
        return getattr(self._batch, "content", None)

    @property
    def records(self) -> list[Record]:
        """Its records from `start` on, offsets ascending."""
        if self._records is None:
            self._records = list(self._batch)
            if self._records and self._records[0].offset < self.start:
                self._records = [record for record in self._records if record.offset >= self.start]
        return self._records

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __iter__(self) -> Iterator["RecordBatch"]:
        return iter((self,))

    def __next__(self) -> Any:
        return next(self._batch)  # called for control batches only


class PartitionBatch(NamedTuple):
    """What fetches brought for one partition, offsets ascending, with holes."""

    topic: str
    partition: int
    generation: int
    batches: Sequence[RecordBatch]

    @property
    def last_offset(self) -> int:
        """The offset of the last record."""
        return self.batches[-1].offset

    @property
    def lag(self) -> int:
        """How many records the log had after it when it was fetched."""
        return self.batches[-1].lag

    @property
    def size(self) -> int:
        """An upper bound of the number of records, and of their KiB; known before any is unpacked."""
        return sum([batch.size for batch in self.batches])

    @property
    def records(self) -> list[Record]:
        """The records of all batches, offsets ascending."""
        return [record for batch in self.batches for record in batch.records]

    def slices(self, size: int) -> Iterator[list[RecordBatch]]:
        """Its record batches in groups of at least `size` records; the last group may be smaller."""
        found: list[RecordBatch] = []
        records = 0
        for batch in self.batches:
            found.append(batch)
            records += batch.size
            if records >= size:
                yield found
                found, records = [], 0
        if found:
            yield found


class Parcel:
    """A batch on its way through Faust, which keeps the last event of every stream, and of every task.

    So what it keeps is empty: the bytes of a batch are gone once it is folded.
    """

    def __init__(self, batch: PartitionBatch) -> None:
        self._batch: PartitionBatch | None = batch

    def take(self) -> PartitionBatch:
        """The batch, once."""
        batch, self._batch = self._batch, None
        assert batch is not None, "a batch is taken once"
        return batch


def records_of(batches: Sequence[RecordBatch], since: int) -> list[Record]:
    """The records of batches from offset `since` on."""
    return [record for batch in batches for record in batch.records if record.offset >= since]


class FetchSettings(NamedTuple):
    """How long a fetch waits for how many bytes (fetch.max.wait.ms, fetch.min.bytes): no fetch is free."""

    max_wait_ms: int = 500
    min_bytes: int = 1


class Fetching(Protocol):
    """Pauses and resumes the fetching of one partition."""

    def pause(self, tp: Any) -> None:
        """Stop fetching it until `resume`."""

    def resume(self, tp: Any) -> None:
        """Go on fetching it."""


Ack = Callable[[], Awaitable[Any]]
#: Folds a batch; True once it may be acknowledged.
Fold = Callable[["PartitionBatch"], Awaitable[bool]]


class Recording(Protocol):
    """Records the batches of one topic, and acknowledges each once it is recorded."""

    @property
    def topic(self) -> str:
        """The source topic."""

    @property
    def is_paused(self) -> bool:
        """Whether nothing is recorded on purpose."""

    def put(self, tp: Any, batch: "PartitionBatch", ack: Ack, fetching: Fetching) -> None:
        """Accept a batch; `ack` is awaited once it is recorded. `fetching` is paused while too much waits."""
