"""Our tables as Faust sees them: assigned with their sources, loaded by us, with nothing to recover."""

from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any

import faust
from faust.stores.base import Store
from faust.tables.manager import TableManager
from faust.types import TP

from red_common.kafka.connection import TopicPartition
from red_stats.tables.partition_state import PartitionStates

Rebalance = Callable[[set[int], int], Awaitable[None]]  # the assigned partitions, the generation


class LoadedStore(Store[bytes, Any]):
    """A read-only view of a table's rows in the partitions held; only transactions change them."""

    def __init__(
        self,
        app: faust.App,
        table: "LoadedTable",
        name: str,
        *,
        changelog: str,
        states: PartitionStates[Any],
        rebalance: Rebalance,
    ) -> None:
        super().__init__("loaded://", app, table, table_name=name)
        self._name, self._changelog = name, changelog
        self._states, self._rebalance = states, rebalance

    def persisted_offset(self, tp: TP) -> int | None:
        """The end of the changelog minus one: otherwise stock recovery would wait for a control record."""
        end = self._states.ends.get(TopicPartition(tp.topic, tp.partition))
        return None if end is None else end - 1

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        """Load what is assigned, before Faust asks for `persisted_offset`; the first table loads all."""
        partitions = {tp.partition for tp in assigned if tp.topic == self._changelog}
        await self._rebalance(partitions, generation_id)

    def apply_changelog_batch(self, batch: Any, to_key: Any, to_value: Any) -> None:
        """Fail: there is nothing to recover and standbys are off, so it is never called."""
        raise AssertionError("stock recovery was given changelog records")

    def reset_state(self) -> None:
        """Do nothing: nothing is kept on disk."""

    def __getitem__(self, key: bytes) -> Any:
        for rows in self._rows():
            if key in rows:
                return rows[key]
        raise KeyError(key)

    def __setitem__(self, key: bytes, value: Any) -> None:
        raise TypeError(f"{self._name} is written only in the transaction of a batch")

    def __delitem__(self, key: bytes) -> None:
        raise TypeError(f"{self._name} is written only in the transaction of a batch")

    def __iter__(self) -> Iterator[bytes]:
        for rows in self._rows():
            yield from rows

    def __len__(self) -> int:
        return sum(map(len, self._rows()))

    async def backup_partition(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the changelog is the backup."""

    def restore_backup(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the changelog is the backup."""

    def _rows(self) -> Iterator[Any]:
        for state in self._states.held.values():
            yield getattr(state.tables, self._name)


class LoadedTable(faust.Table[bytes, Any]):
    """A Faust table whose store loads itself in bulk at every rebalance."""

    def __init__(
        self,
        app: faust.App,
        *,
        changelog: str,
        states: PartitionStates[Any],
        rebalance: Rebalance,
        **options: Any,
    ) -> None:
        topic = app.topic(changelog, key_serializer="raw", value_serializer="raw")
        super().__init__(app, changelog_topic=topic, key_type=bytes, value_type=bytes, **options)
        self._new_loaded_store = partial(
            LoadedStore, app, self, self.name, changelog=changelog, states=states, rebalance=rebalance
        )

    def _new_store(self) -> LoadedStore:
        return self._new_loaded_store()


class LoadedTables(TableManager):
    """The tables of an app; all are declared before it starts, so it does not wait for more."""

    async def on_start(self) -> None:
        """Register the changelogs; Faust's conductor subscribes once the agents are there, too."""
        await self._update_channels()
        await self.recovery.start()


def declare_tables(
    app: faust.App, states: PartitionStates[Any], rebalance: Rebalance, partitions: int
) -> None:
    """Register every table of a role with its app, each on its existing changelog topic."""
    for name, changelog in states.changelogs.items():
        made = LoadedTable(
            app, changelog=changelog, states=states, rebalance=rebalance, name=name, partitions=partitions
        )
        app.tables.add(made)
