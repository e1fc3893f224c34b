"""Records as they come in and go out: batches of a partition, unpacked when they are folded."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

#: A record to be written, always to the partition of its writer: topic, key, value.
Out = tuple[str, bytes | None, bytes | None]


class Record(Protocol):
    """A record as the decoder of a fetch makes it, `timestamp` in ms."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


class RecordBatch:
    """A record batch of the log, unpacked when it is folded and not by the thread that fetches.

    Stands in for it while aiokafka walks over what it fetched (aborted transactions, control
    batches, checksums), and looks there like a single record, the last one of the batch.
    """

    start = 0  # records before it were not asked for
    generation = -1  # for which its partition had been sought when it was taken
    lag = 0  # records behind it that could be read when it was taken, as far as the fetch knew

    def __init__(self, batch: Any) -> None:
        self._batch = batch
        self._records: list[Record] | None = None
        self.offset: int = batch.next_offset - 1
        self.size: int = batch.next_offset - batch.base_offset  # more than it has, after compaction
        self.timestamp: int = batch.max_timestamp

    def taken(self, start: int, generation: int) -> None:
        """It leaves the fetcher: where its unread records begin, and for which generation."""
        self.start, self.generation = start, generation

    def followed_by(self, records: int) -> None:
        """So many records can be read behind it."""
        self.lag = records

    @property
    def content(self) -> memoryview | None:
        """The record batch as it stands in the log, where that is known."""
        return getattr(self._batch, "content", None)

    @property
    def records(self) -> list[Record]:
        """Its records, offsets ascending."""
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
        return next(self._batch)  # asked of control batches only


class PartitionBatch(NamedTuple):
    """What fetches brought for one partition, offsets ascending, with holes."""

    topic: str
    partition: int
    generation: int
    batches: Sequence[RecordBatch]

    @property
    def last_offset(self) -> int:
        """Offset of the last record."""
        return self.batches[-1].offset

    @property
    def lag(self) -> int:
        """How many records the log has after it, at least."""
        return self.batches[-1].lag

    @property
    def size(self) -> int:
        """How many records there are at most, before any is unpacked."""
        return sum([batch.size for batch in self.batches])

    @property
    def records(self) -> list[Record]:
        """All of them."""
        return [record for batch in self.batches for record in batch.records]

    def slices(self, size: int) -> Iterator[list[RecordBatch]]:
        """All of its batches, about `size` records at a time."""
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


def records_of(batches: Sequence[RecordBatch], since: int) -> list[Record]:
    """The records of batches from an offset on."""
    return [record for batch in batches for record in batch.records if record.offset >= since]


class FetchSettings(NamedTuple):
    """How long a fetch waits for how many bytes: each fetch costs the broker and us."""

    max_wait_ms: int = 500
    min_bytes: int = 1


class Fetching(Protocol):
    """Pauses and resumes the fetching of one partition."""

    def pause(self, tp: Any) -> None:
        """Fetch no more of it for now."""

    def resume(self, tp: Any) -> None:
        """Fetch it again."""


Ack = Callable[[], Awaitable[Any]]
#: Folds a batch; True once it may be acknowledged.
Fold = Callable[["PartitionBatch"], Awaitable[bool]]


class Recording(Protocol):
    """What takes the batches of one topic and acknowledges each when it has been recorded."""

    @property
    def topic(self) -> str:
        """Its source topic."""

    def put(self, tp: Any, batch: "PartitionBatch", ack: Ack, fetching: Fetching) -> None:
        """Take a batch; `ack` is awaited once it is recorded."""
