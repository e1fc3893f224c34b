"""How a role declares its tables: one dataclass, a field a table; everything else derives from it."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol, TypeVar

from red_stats.topics import Topic

MARK_PREFIX = b"!"  # no client_id and no id begins with it


class Rows(Protocol):
    """The rows of one table in one partition, as changelog records make them."""

    def load(self, key: bytes, value: bytes | None) -> object:
        """Take one changelog record over; None deletes."""

    def encoded(self) -> Mapping[bytes, bytes]:
        """Every row as its changelog has it, by key."""


class TableSet(Protocol):
    """A dataclass whose fields are tables (see `table`)."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]


AnyRows = TypeVar("AnyRows", bound=Rows)


def table(changelog: Topic | str, rows: Callable[[], AnyRows]) -> AnyRows:
    """A field of a dataclass: a table, its changelog, and how its rows begin."""
    made: AnyRows = dataclasses.field(default_factory=rows, metadata={"changelog": changelog})
    return made


def changelogs_of(tables: TableSet | type[TableSet]) -> dict[str, str]:
    """The changelog of each table by its name, in the order declared; the first one carries the marks."""
    return {field.name: field.metadata["changelog"] for field in dataclasses.fields(tables)}


class NoRows(dict[bytes, bytes]):
    """A table of marks only."""

    def load(self, key: bytes, value: bytes | None) -> None:
        """Marks are taken out before; nothing else is written to such a changelog."""

    def encoded(self) -> dict[bytes, bytes]:
        """There is none."""
        return {}
