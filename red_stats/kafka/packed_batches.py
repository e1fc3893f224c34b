"""Fetches whose records stay packed: they yield record batches, which are unpacked when they are folded.

This uses private API of aiokafka, which is pinned; `tests/red_stats/faust/test_batch_consumer.py` tests it.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, cast

from aiokafka.consumer.fetcher import FetchResult, PartitionRecords
from crc32c import crc32c

from red_common.kafka.connection import TopicPartition
from red_stats.domain.record_batches import RecordBatch

_MAGIC: Final = 16  # offset of the format's version in a record batch
_CHECKSUM: Final = 17  # offset of the CRC-32C
_CHECKED: Final = 21  # offset of what the CRC-32C covers, to the end


class CheckedBatch(RecordBatch):
    """A record batch whose checksum is verified with the processor's CRC instruction, ten times as fast."""

    def validate_crc(self) -> bool:
        """Whether its bytes are as they were written."""
        content = self.content
        if content is None or content[_MAGIC] < 2:
            return bool(self._batch.validate_crc())
        return crc32c(content[_CHECKED:]) == int.from_bytes(content[_CHECKSUM:_CHECKED])


class _Batches:
    """Fetched bytes, read one record batch at a time."""

    def __init__(self, records: Any) -> None:
        self._records = records

    def has_next(self) -> bool:
        return bool(self._records.has_next())

    def next_batch(self) -> RecordBatch:
        return CheckedBatch(self._records.next_batch())


class PackedRecords(PartitionRecords):  # type: ignore[misc]
    """A fetched partition that yields batches: unpacking in its thread would compete with the fold."""

    _generation: Callable[[], int]

    def __iter__(self) -> Iterator[RecordBatch]:
        return cast(Iterator[RecordBatch], self._records_iterator)

    def _consumer_record(self, tp: TopicPartition, batch: RecordBatch) -> RecordBatch:
        batch.note_fetch(self.next_fetch_offset, self._generation())
        return batch


class PackedFetches(OrderedDict[TopicPartition, Any]):
    """The results that a fetcher holds, by partition; each is made to stay packed as it comes in.

    `generation()` is noted on a batch when it leaves the fetcher.
    """

    def __init__(
        self, fetched: Mapping[TopicPartition, Any], generation: Callable[[], int] = lambda: -1
    ) -> None:
        self._generation = generation  # before the others: what is already fetched is packed too
        super().__init__(fetched)

    def __setitem__(self, tp: TopicPartition, result: Any) -> None:
        if isinstance(result, FetchResult):
            fetched = result._partition_records
            fetched.__class__, fetched._records = PackedRecords, _Batches(fetched._records)
            fetched._generation = self._generation
        super().__setitem__(tp, result)
