"""Header keys that are no UTF-8: Kafka takes any bytes, and aiokafka's decoder stops at them for good.

`tolerate_non_utf8_header_keys` teaches every consumer of the process to read on; such a key then reads with
backslashes in place of those bytes. A batch that unpacks to too much (`bounded_unpacking.py`) reads as one
record without a key at the batch's last offset, which says so and can be taken for nothing else.
This touches private API of aiokafka, which is pinned.
"""

from collections.abc import Iterator
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import _DefaultRecordBatchPy, _DefaultRecordPy
from aiokafka.record.memory_records import _MemoryRecordsPy

from red_common.kafka.patches.bounded_unpacking import MOST, TooMuch


def tolerate_non_utf8_header_keys() -> None:
    """From now on and for the whole process; safe to call twice."""
    fetcher.MemoryRecords = _Records


class _Records(_MemoryRecordsPy):  # type: ignore[misc]
    """Fetched bytes, batch by batch; the driver's in C takes no views."""

    def next_batch(self) -> "_Batch | None":
        content = self._next_slice
        return None if content is None else _Batch(super().next_batch(), content)


class _Batch:
    """A record batch, `content` as in the log; the slow decoder reads only what the fast one cannot."""

    def __init__(self, batch: Any, content: memoryview) -> None:
        self._batch, self.content = batch, content

    def __iter__(self) -> Iterator[Any]:
        try:
            return iter(list(self._batch))
        except TooMuch:
            return iter([_stand_in(self._batch, self.content)])
        except (CorruptRecordException, UnicodeDecodeError):
            return iter(list(_slowly(self.content)))

    def __next__(self) -> Any:
        return next(self._batch)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)


def _stand_in(batch: Any, content: memoryview) -> Any:
    value = f"[a record batch of {len(content)} bytes that unpacks to more than {MOST}]".encode()
    return _DefaultRecordPy(batch.next_offset - 1, batch.max_timestamp, batch.timestamp_type, None, value, [])


def _slowly(content: memoryview) -> Iterator[Any]:
    batch: Any = _DefaultRecordBatchPy(content)
    batch._maybe_uncompress()
    batch._buffer = _Lenient(batch._buffer)
    return iter(batch)


class _Lenient(bytearray):
    """Bytes whose slices decode whatever they are."""

    def __getitem__(self, at: Any) -> Any:
        found = super().__getitem__(at)
        return _Lenient(found) if isinstance(at, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "backslashreplace") -> str:
        return super().decode(encoding, errors)
