"""Readable measurements by the thousand, as columns. Pure.

A row becomes an object only where it raises an alert.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt

from red_stats.domain.erasure import ErasedOf
from red_stats.domain.measurements import Measurement

Integers = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class MeasurementColumns:
    """Columns of equal lengths, offsets ascending; times in ms since 1970.

    `client` holds indices into `clients`. `images` holds the image_ids one after the other; that of a row
    ends at its `image_end`, where the next row's begins.
    """

    offset: Integers
    at: Integers
    logged_at: Integers
    red_bp: Integers
    client: Integers
    clients: Sequence[str]
    image_end: Integers
    images: bytes

    def __len__(self) -> int:
        return len(self.offset)

    def erased_rows(self, erased_of: ErasedOf) -> Integers | None:
        """Of each row whether it has been erased; None: no row is."""
        before = [erased_of(client_id).before for client_id in self.clients]
        if not len(self) or max(before) <= self.offset[0]:
            return None
        return self.offset < np.array(before, np.int64)[self.client]

    def only(self, rows: Integers) -> "MeasurementColumns":
        """The rows for which an array of truth values says so."""
        return to_measurement_columns(self.taken(np.flatnonzero(rows).tolist()))

    def taken(self, rows: Sequence[int]) -> list[Measurement]:
        """The rows of these numbers (from 0), as objects."""
        at = np.array(rows, np.int64)
        bounds = np.concatenate(([0], self.image_end))
        columns = zip(
            self.offset[at].tolist(),
            self.client[at].tolist(),
            self.at[at].tolist(),
            self.red_bp[at].tolist(),
            self.logged_at[at].tolist(),
            bounds[at].tolist(),
            bounds[at + 1].tolist(),
            strict=True,
        )
        return [
            Measurement(
                offset, self.clients[client], moment, red_bp, logged_at, self.images[start:end].decode()
            )
            for offset, client, moment, red_bp, logged_at, start, end in columns
        ]


def to_measurement_columns(readings: Sequence[Measurement]) -> MeasurementColumns:
    """The same readings as columns."""
    clients: dict[str, int] = {}
    client = [clients.setdefault(reading.client_id, len(clients)) for reading in readings]
    images = [reading.image_id.encode() for reading in readings]
    return MeasurementColumns(
        offset=np.array([reading.offset for reading in readings], np.int64),
        at=np.array([reading.at for reading in readings], np.int64),
        logged_at=np.array([reading.logged_at for reading in readings], np.int64),
        red_bp=np.array([reading.red_bp for reading in readings], np.uint16),
        client=np.array(client, np.int32),
        clients=list(clients),
        image_end=np.fromiter(accumulate(map(len, images)), np.int64, len(images)),
        images=b"".join(images),
    )


def joined(parts: Sequence[MeasurementColumns]) -> MeasurementColumns:
    """All parts in their order as one; clients are renumbered."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return to_measurement_columns([])
    clients: dict[str, int] = {}
    client = [_renumbered(part, clients) for part in parts]
    starts = accumulate((len(part.images) for part in parts), initial=0)
    return MeasurementColumns(
        offset=_one(part.offset for part in parts),
        at=_one(part.at for part in parts),
        logged_at=_one(part.logged_at for part in parts),
        red_bp=_one(part.red_bp for part in parts),
        client=_one(client),
        clients=list(clients),
        image_end=_one(part.image_end + start for part, start in zip(parts, starts, strict=False)),
        images=b"".join([part.images for part in parts]),
    )


def _renumbered(part: MeasurementColumns, clients: dict[str, int]) -> Integers:
    numbers = [clients.setdefault(name, len(clients)) for name in part.clients]
    return np.array(numbers, np.int32)[part.client]


def _one(columns: Iterable[Integers]) -> Integers:
    return np.concatenate(list(columns))
