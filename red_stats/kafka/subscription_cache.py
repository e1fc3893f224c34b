"""The subscriptions of all clients, followed on `red.subscriptions` for everything but live's folds."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence, Set
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext, suppress
from functools import lru_cache, partial
from typing import Any, Final

from red_common.kafka.connection import KafkaConnection, KafkaError, TopicPartition
from red_common.kafka.end_offsets import ends_of_logs
from red_common.kafka.follower import Follower
from red_common.kafka.partitioner import partition_of
from red_stats import topics
from red_stats.domain.deliveries import Row
from red_stats.domain.erasure import Erased
from red_stats.domain.subscription_lists import SubscriptionLists, VersionLists
from red_stats.domain.subscriptions import Client, Subscription
from red_stats.kafka.changelog_loader import load_to_end

SECONDS: Final = 5.0
_partition = lru_cache(maxsize=200_000)(partition_of)


class SubscriptionCache:
    """Follows the compacted topic while it is `opened`; it is first loaded within `loading()`."""

    def __init__(
        self,
        connection: KafkaConnection,
        partitions: int,
        *,
        topic: str = topics.SUBSCRIPTIONS,
        loading: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        self._on_changed: Callable[[str], None] = lambda client_id: None
        self._loading = loading
        self._lists = [SubscriptionLists() for _ in range(partitions)]
        self.follower = Follower(connection, topic, self._apply)
        self._connection = connection
        self._partitions = [TopicPartition(topic, number) for number in range(partitions)]

    @asynccontextmanager
    async def opened(self, on_changed: Callable[[str], None]) -> AsyncIterator[None]:
        """Load everything in bulk, then follow; `on_changed(client_id)` is called after each change.

        Raises:
            KafkaError: Kafka cannot be reached.
        """
        loaders = {tp: partial(self._load, tp.partition) for tp in self._partitions}
        with self._loading():
            ends = await load_to_end(self._connection, loaders)
        self._on_changed = on_changed
        await self.follower.start({tp.partition: end for tp, end in ends.items()})
        try:
            yield
        finally:
            await self.follower.stop()

    async def lists_of(self, partitions: Sequence[int]) -> dict[int, tuple[VersionLists, int]]:
        """The lists of partitions as they are now, each with the end of its partition.

        Another producer's open transaction is waited for: behind it stands what live has committed.

        Raises:
            KafkaError: Kafka cannot be reached.
        """
        tps = [self._partitions[number] for number in partitions]
        ends = await ends_of_logs(self._connection, tps) if tps else {}
        positions = self.follower.positions
        await self.follower.until(lambda: all(positions[tp.partition] >= ends[tp] for tp in tps))
        return {tp.partition: (self._lists[tp.partition].with_versions(), ends[tp]) for tp in tps}

    def _apply(self, record: Any) -> None:
        self._load(record.partition, [record])
        self._on_changed((record.key or b"").decode(errors="replace"))

    def _load(self, partition: int, records: Sequence[Any]) -> None:
        load = self._lists[partition].load
        for record in records:
            load(record.key or b"", record.value)

    def sealed_otherwise(self, key_ids: Set[str]) -> str | None:
        """The id of another key that secrets are sealed with; None if all are sealed with one of these."""
        start = b'"encrypted":"'
        ours = tuple(b'"encrypted":"%s.' % name.encode() for name in key_ids)
        for lists in self._lists:
            for value in lists.values():
                at = value.rfind(start)  # one of a client is enough: no process runs with two keys
                if at >= 0 and not value.startswith(ours, at):
                    return value[at + len(start) :].partition(b".")[0].decode(errors="replace")
        return None

    def get(self, client_id: str) -> Client | None:
        """The list of a client, or None."""
        return self._lists[_partition(client_id, len(self._lists))].get(client_id)

    @property
    def erasures(self) -> int:
        """How often something was read about an erased client."""
        return sum(lists.erasures for lists in self._lists)

    def erased(self, partition: int) -> Mapping[str, Erased]:
        """The erased clients of a partition."""
        return self._lists[partition].erased

    def erased_of(self, client_id: str) -> Erased:
        """What of a client has been erased."""
        return self._lists[_partition(client_id, len(self._lists))].erased_of(client_id)

    def erased_below(self, partition: int) -> int:
        """An offset of a partition from which on nothing is erased; 0: nobody is."""
        return self._lists[partition].erased_below

    def size(self, client_id: str) -> int:
        """How many bytes the list of a client has."""
        return self._lists[_partition(client_id, len(self._lists))].size(client_id)

    async def until_known(self, rows: Iterable[Row]) -> None:
        """Wait until the versions that caused these deliveries can be found, for SECONDS at most.

        One of a deleted subscription never can: then everything that stands on the topic now has been read.
        """
        if all(self._knows(row) for row in rows):
            return
        with suppress(KafkaError, TimeoutError):
            async with asyncio.timeout(SECONDS):
                await self.follower.caught_up()

    def _knows(self, row: Row) -> bool:
        found = self.find(row.client_id, row.subscription_id)
        return found is not None and found.version >= row.version

    def all_of(self, client_id: str) -> tuple[Subscription, ...]:
        """The subscriptions of a client."""
        client = self.get(client_id)
        return client.subscriptions if client else ()

    def find(self, client_id: str, subscription_id: str) -> Subscription | None:
        """A subscription of this client, or None."""
        client = self.get(client_id)
        return client.find(subscription_id) if client else None
