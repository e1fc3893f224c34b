"""Header keys that are no UTF-8: Kafka takes any bytes, and aiokafka's decoder stops at them for ever.

`accept_any` teaches every consumer of the process to read on; such a key is then told with
backslashes. This touches private API of aiokafka, which is pinned.
"""

import struct
from collections.abc import Iterator
from typing import Any, Final

from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords

_LENGTH: Final = struct.Struct(">8xi")  # behind the base offset; of what follows it
_OVERHEAD: Final = 12


def accept_any() -> None:
    """From now on and for the whole process; safe to call twice."""
    fetcher.MemoryRecords = _Records


class _Records:
    """Fetched bytes, batch by batch; stands in for aiokafka's MemoryRecords."""

    def __init__(self, content: bytes) -> None:
        self._records: Any = MemoryRecords(content)
        self._content, self._at = memoryview(content), 0

    def size_in_bytes(self) -> int:
        return int(self._records.size_in_bytes())

    def has_next(self) -> bool:
        return bool(self._records.has_next())

    def next_batch(self) -> "_Batch | None":
        batch = self._records.next_batch()
        if batch is None:
            return None
        start = self._at
        (length,) = _LENGTH.unpack_from(self._content, start)
        self._at += _OVERHEAD + length
        return _Batch(batch, self._content[start : self._at])


class _Batch:
    """A record batch, `content` as in the log; the slow decoder reads only what the fast one cannot."""

    def __init__(self, batch: Any, content: memoryview) -> None:
        self._batch, self.content = batch, content

    def __iter__(self) -> Iterator[Any]:
        try:
            return iter(list(self._batch))
        except (CorruptRecordException, UnicodeDecodeError):
            return iter(list(_slowly(self.content)))

    def __next__(self) -> Any:
        return next(self._batch)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)


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
