"""Record batches of the log -> columns of measurements, by `scan.c`; without it record by record.

`python -m red_stats.kafka.scanner` builds it. It accepts only events written in the usual form; all others
are read by `domain/measurements.py`, which alone decides whether a record is readable.
"""

import ctypes
import sys
from array import array
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from aiokafka.record.default_records import _DefaultRecordBatchPy

from red_common import c_library
from red_stats.domain.column_batch import ColumnBatch, Texts
from red_stats.domain.measurement_columns import MeasurementColumns, to_measurement_columns
from red_stats.domain.measurements import BatchReader, ClientsOf, DeadLetter
from red_stats.domain.record_batches import RecordBatch, records_of

SOURCE: Final = Path(__file__).with_name("scan.c")
HEADER: Final = 61  # bytes before the records of a batch
MAX_BYTES: Final = 32 << 20  # scanned at once: each buffer for texts is as large, and stays
_NAME: Final = 64  # bytes kept for a client_id
_TEXTS: Final = ("image", "client_id", "format", "sha256", "rule", "decoder")
_NUMBERS: Final = {  # name -> type code of its array; the last seven only if `described`
    "offset": "q", "logged_at": "q", "at": "q", "red": "H", "client": "i", "image_end": "I",
    "red_pixels": "Q", "pixels": "Q", "bytes": "Q", "red_excess": "H", "red_channel": "H",
    "width": "I", "height": "I",
}  # fmt: skip

ClientOf = Callable[[bytes], str | None]
Unpacked = tuple[bytes, memoryview, int]  # header, records, their number according to the header


class _CTexts(ctypes.Structure):
    _fields_ = (("content", ctypes.c_void_p), ("size", ctypes.c_uint64))


class _CColumns(ctypes.Structure):
    _fields_ = (
        ("rows", ctypes.c_int64),
        ("names", ctypes.c_int64),
        ("described", ctypes.c_int64),
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_void_p),
        ("slots", ctypes.c_void_p),
        ("slot_mask", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in tuple(_NUMBERS)[:-7]),
        *((name, _CTexts) for name in _TEXTS),
        *((name, ctypes.c_void_p) for name in tuple(_NUMBERS)[-7:]),
    )


class Scanner:
    """The C library with buffers for its results; used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._scan = ctypes.CDLL(str(path)).scan
        self._scan.argtypes = (
            ctypes.POINTER(_CColumns), ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int64,
        )  # fmt: skip
        self._scan.restype = ctypes.c_int
        self._c = _CColumns()
        self._rows = self._bytes = 0
        self._column: dict[str, npt.NDArray[Any]] = {}

    def readings(
        self, batches: Sequence[RecordBatch], since: int, client_of: ClientOf
    ) -> MeasurementColumns | None:
        """What live needs of the records from offset `since` on; None if they must be read record by record.

        `client_of` maps a record's key to its client_id, None if it has none in this partition.
        """
        clients = self._scan_all(batches, since, client_of, described=False)
        if clients is None:
            return None
        number = self._number
        return MeasurementColumns(
            offset=number("offset").copy(),
            at=number("at").copy(),
            logged_at=number("logged_at").copy(),
            red_bp=number("red").copy(),
            client=number("client").copy(),
            clients=clients,
            image_end=number("image_end").astype(np.int64),
            images=self._text("image"),
        )

    def columns(self, batches: Sequence[RecordBatch], since: int, client_of: ClientOf) -> ColumnBatch | None:
        """Columns of the table `measurements`; None like `readings`, or if there is no row."""
        if self._scan_all(batches, since, client_of, described=True) is None or not self._c.rows:
            return None
        text, number = self._texts, self._array
        columns = [
            text("client_id"), number("at"), number("red"), text("image"), number("red_pixels"),
            number("pixels"), number("red_excess"), number("red_channel"), number("width"), number("height"),
            text("format"), number("bytes"), text("sha256"), text("rule"), text("decoder"),
        ]  # fmt: skip
        offsets = array("Q", number("offset"))
        return ColumnBatch(columns, offsets, [], offsets[0], int(self._number("logged_at")[0]), offsets[-1])

    def _scan_all(
        self, batches: Sequence[RecordBatch], since: int, client_of: ClientOf, *, described: bool
    ) -> list[str] | None:
        """The client_ids by their numbers; None unless every record was accepted."""
        unpacked = [found for batch in batches if (found := _unpacked(batch)) is not None]
        if len(unpacked) < len(batches):
            return None
        size = sum(len(records) for _, records, _ in unpacked)
        if size > MAX_BYTES:
            return None
        self._make_room(sum(count for _, _, count in unpacked), size)
        columns = self._c
        columns.rows = columns.names = 0
        columns.described = described
        for name in _TEXTS:
            getattr(columns, name).size = 0
        self._column["slots"][: columns.slot_mask + 1].fill(-1)
        for batch, (header, records, _) in zip(batches, unpacked, strict=True):
            place = np.frombuffer(records, np.uint8).ctypes.data
            if not self._scan(columns, header, place, len(records), max(since, batch.start)):
                return None
        names = self._column["name"][: columns.names * _NAME].tobytes()
        lengths = self._column["name_length"][: columns.names].tolist()
        keys = [names[n * _NAME : n * _NAME + length] for n, length in enumerate(lengths)]
        clients = [client_id for key in keys if (client_id := client_of(key)) is not None]
        return clients if len(clients) == len(keys) else None

    def _make_room(self, rows: int, size: int) -> None:
        if rows <= self._rows and size <= self._bytes:
            return
        self._rows, self._bytes = max(rows, 2 * self._rows), max(size, 2 * self._bytes)
        slots = 1 << (2 * self._rows).bit_length()
        self._keep("slots", slots, np.int32)
        self._c.slot_mask = slots - 1
        self._keep("name", self._rows * _NAME, np.uint8)
        self._keep("name_length", self._rows, np.uint8)
        for name, code in _NUMBERS.items():
            self._keep(name, self._rows, np.dtype(code))
        for name in _TEXTS:
            self._column[name] = np.empty(self._bytes + 5 * self._rows, np.uint8)
            getattr(self._c, name).content = self._column[name].ctypes.data

    def _keep(self, name: str, size: int, kind: Any) -> None:
        self._column[name] = np.empty(size, kind)
        setattr(self._c, name, self._column[name].ctypes.data)

    def _number(self, name: str) -> npt.NDArray[Any]:
        return self._column[name][: self._c.rows]

    def _array(self, name: str) -> "array[int]":
        return array(_NUMBERS[name], self._number(name).tobytes())

    def _text(self, name: str) -> bytes:
        return self._column[name][: getattr(self._c, name).size].tobytes()

    def _texts(self, name: str) -> Texts:
        return Texts(self._text(name), self._c.rows)


def _unpacked(batch: RecordBatch) -> Unpacked | None:
    if batch.content is None:
        return None
    header, records = bytes(batch.content[:HEADER]), batch.content[HEADER:]
    count = int.from_bytes(header[-4:], "big", signed=True)
    if header[22] & _DefaultRecordBatchPy.CODEC_MASK:
        slow: Any = _DefaultRecordBatchPy(batch.content)
        try:
            slow._maybe_uncompress()
        except Exception:  # of any kind; reading record by record will raise it again
            return None
        records = memoryview(slow._buffer)
    return (header, records, count) if 0 <= count <= len(records) else None


class LogReader:
    """Reads `red.measurements`: with the scanner where it accepts the records, else record by record."""

    def __init__(self, partitions: int, scanner: Scanner | None) -> None:
        self._scanner = scanner
        self._clients_of = cache(partial(ClientsOf, partitions=partitions))
        self._readers = cache(partial(BatchReader, partitions=partitions))

    def readings(
        self, partition: int, batches: Sequence[RecordBatch], since: int
    ) -> tuple[MeasurementColumns, list[DeadLetter]]:
        """The records from offset `since` on, split into readable measurements and dead letters."""
        if self._scanner is not None:
            found = self._scanner.readings(batches, since, self._clients_of(partition).__getitem__)
            if found is not None:
                return found, []
        good, dead = self._readers(partition).read_all(records_of(batches, since), since - 1)
        return to_measurement_columns(good), dead

    def columns(self, partition: int, batches: Sequence[RecordBatch], since: int) -> ColumnBatch | None:
        """Columns of the table `measurements` from offset `since` on; None: read them record by record."""
        if self._scanner is None:
            return None
        return self._scanner.columns(batches, since, self._clients_of(partition).__getitem__)


def load() -> Scanner | None:
    """The scanner, or None if it has not been built or cannot be loaded."""
    try:
        return Scanner(c_library.library(SOURCE))
    except (OSError, AttributeError):
        return None


def build_and_describe(*, portable: bool = False) -> str:
    """Build the scanner if necessary; returns in words how measurements are read on this machine."""
    try:
        c_library.build(SOURCE, portable=portable)
    except (c_library.CannotBuild, OSError) as error:
        return f"Python, without the scanner in C ({error})"
    return "the scanner in C" if load() is not None else "Python: the scanner in C cannot be loaded"


def main() -> None:
    """Build the scanner and print one line: how measurements will be read."""
    portable = "--portable" in sys.argv[1:]
    print(f"red-stats: measurements are read by {build_and_describe(portable=portable)}")


if __name__ == "__main__":
    main()
