"""How a role declares its tables: a dataclass with a field for each; everything else derives from it."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar, Protocol, TypeVar

from red_stats.domain.measurement_columns import MeasurementColumns
from red_stats.domain.record_batches import TableChange
from red_stats.topics import Topic

MARK_PREFIX = b"!"  # no client_id and no id begins with it


class Rows(Protocol):
    """The rows of one table in one partition, built from changelog records."""

    def load(self, key: bytes, value: bytes | None) -> object:
        """Apply one changelog record; a value of None deletes."""

    def encoded(self) -> Mapping[bytes, bytes]:
        """Every row as its changelog has it, by key."""


class TableSet(Protocol):
    """A dataclass whose fields are tables (see `table`)."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]


AnyRows = TypeVar("AnyRows", bound=Rows)
AnyRows_contra = TypeVar("AnyRows_contra", bound=Rows, contravariant=True)


class Fold(Protocol[AnyRows_contra]):
    """Folds measurements of one partition, offsets ascending, onto the rows of one table. Pure.

    `horizon` is the newest Kafka time (ms) so far. Where one batch ends and the next begins is not a
    function of the log, so what is written must not depend on it.
    """

    def __call__(
        self, readings: MeasurementColumns, rows: AnyRows_contra, *, partition: int, horizon: int
    ) -> TableChange:
        """What the measurements change."""


#: (rows, client_id, ids of all subscriptions that it ever had) -> the changelog keys of rows of the client,
#: which an erase removes; there may be none under some of them
RowsOfClient = Callable[[AnyRows, str, Iterable[str]], Iterable[bytes]]


def table(
    changelog: Topic | str,
    rows: Callable[[], AnyRows],
    fold: Fold[AnyRows] | None = None,
    *,
    of_client: RowsOfClient[AnyRows] | None = None,
) -> AnyRows:
    """A field of a dataclass: a table, its changelog, how its rows begin, and how measurements change them.

    A table with a fold follows red.measurements: it is counted, rebuilt and verified by its declaration.
    """
    metadata = {"changelog": changelog, "fold": fold, "of_client": of_client}
    made: AnyRows = dataclasses.field(default_factory=rows, metadata=metadata)
    return made


def rows_of_client(
    tables: TableSet, client_id: str, subscription_ids: Iterable[str]
) -> Iterator[tuple[str, bytes]]:
    """Table and changelog key of every row that an erase of the client removes."""
    for field in dataclasses.fields(tables):
        if (of_client := field.metadata["of_client"]) is not None:
            for key in of_client(getattr(tables, field.name), client_id, subscription_ids):
                yield field.name, key


def changelogs_of(tables: TableSet | type[TableSet]) -> dict[str, str]:
    """The changelog of each table by its name, in the order declared; the first one carries the marks."""
    return {field.name: field.metadata["changelog"] for field in dataclasses.fields(tables)}


def folds_of(tables: TableSet | type[TableSet]) -> dict[str, Fold[Any]]:
    """The fold of each table that has one, by the table's name."""
    folds = {field.name: field.metadata["fold"] for field in dataclasses.fields(tables)}
    return {name: fold for name, fold in folds.items() if fold is not None}


class NoRows(dict[bytes, bytes]):
    """A table of marks only."""

    def load(self, key: bytes, value: bytes | None) -> None:
        """Ignore the record: marks are handled by the loader, and nothing else is written here."""

    def encoded(self) -> dict[bytes, bytes]:
        """Always empty."""
        return {}
