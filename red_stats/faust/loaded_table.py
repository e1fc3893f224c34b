"""Our tables as Faust sees them: assigned with their sources, loaded by us, nothing left to recover."""

from collections.abc import Iterator
from typing import Any

import faust
from faust.stores.base import Store
from faust.tables.manager import TableManager
from faust.types import TP

from red_common.kafka.connection import TopicPartition
from red_stats.tables.partition_state import Ownership, TableSpec


class LoadedStore(Store[bytes, Any]):
    """A read-only view of the rows of the owned partitions; they change in transactions only."""

    ownership: Ownership
    spec: TableSpec

    def persisted_offset(self, tp: TP) -> int | None:
        """The end of the changelog: stock recovery waits for ever for a control record otherwise."""
        end = self.ownership.ends.get(TopicPartition(tp.topic, tp.partition))
        return None if end is None else end - 1

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        """Awaited before Faust asks for `persisted_offset`; the first table does it for all."""
        numbers = {tp.partition for tp in assigned if tp.topic == self.spec.changelog}
        await self.ownership.on_rebalance(numbers, generation_id)

    def apply_changelog_batch(self, batch: Any, to_key: Any, to_value: Any) -> None:
        """Never called: there is nothing to recover, and standbys are off."""
        raise AssertionError("stock recovery was given changelog records")

    def reset_state(self) -> None:
        """Nothing is kept on disk."""

    def __getitem__(self, key: bytes) -> Any:
        for owned in self.ownership.owned.values():
            rows = owned.rows[self.spec.name]
            if key in rows:
                return rows[key]
        raise KeyError(key)

    def __setitem__(self, key: bytes, value: Any) -> None:
        raise TypeError(f"{self.spec.name} is written in the transaction of a batch only")

    def __delitem__(self, key: bytes) -> None:
        raise TypeError(f"{self.spec.name} is written in the transaction of a batch only")

    def __iter__(self) -> Iterator[bytes]:
        for owned in self.ownership.owned.values():
            yield from owned.rows[self.spec.name]

    def __len__(self) -> int:
        return sum(len(owned.rows[self.spec.name]) for owned in self.ownership.owned.values())

    async def backup_partition(self, *args: Any, **kwargs: Any) -> None:
        """The changelog is the backup."""

    def restore_backup(self, *args: Any, **kwargs: Any) -> None:
        """The changelog is the backup."""


class LoadedTable(faust.Table[bytes, Any]):
    """A Faust table whose store loads itself in bulk at every rebalance."""

    ownership: Ownership
    spec: TableSpec

    def _new_store(self) -> LoadedStore:
        store = LoadedStore("loaded://", self.app, self, table_name=self.name)
        store.ownership, store.spec = self.ownership, self.spec
        return store


class Tables(TableManager):
    """All tables of an app, which are declared before it starts: stock waits a second for more."""

    async def on_start(self) -> None:
        """Register their changelogs; the conductor subscribes once the agents are there, too."""
        await self._update_channels()
        await self.recovery.start()


def declare_tables(app: faust.App, ownership: Ownership, partitions: int) -> list[LoadedTable]:
    """Register every table of the ownership with the app, each on its existing changelog topic."""
    declared = []
    for spec in ownership.tables:
        topic = app.topic(spec.changelog, key_serializer="raw", value_serializer="raw")
        table = LoadedTable(
            app, name=spec.name, partitions=partitions, changelog_topic=topic, key_type=bytes,
            value_type=bytes,
        )  # fmt: skip
        table.ownership, table.spec = ownership, spec
        app.tables.add(table)
        declared.append(table)
    return declared
