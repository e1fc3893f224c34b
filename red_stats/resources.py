"""What the roles of one process share: keys, subscriptions, the store, and who owns what."""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from red_common.api_keys import TOPIC as API_KEYS
from red_common.api_keys import Keyring
from red_common.kafka.follower import Follower
from red_common.kafka.partitioner import partition_of
from red_stats.delivery.secret_box import SecretBox, SecretKeyError, load_key
from red_stats.kafka import scanner
from red_stats.kafka.scanner import LogReader
from red_stats.kafka.subscription_cache import Directory
from red_stats.settings import Settings
from red_stats.store.clickhouse import Store
from red_stats.store.query_server import RemoteStore
from red_stats.store.recorder import Recorder
from red_stats.tables.partition_state import Ownership

READERS = 4


class Queries(Protocol):
    """Whatever answers SQL of ours: the store itself, or the process that has it open."""

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Rows."""


class Parts:
    """Made once per process; roles fill in `ownerships` and `recorders`."""

    def __init__(self, settings: Settings, roles: tuple[str, ...]) -> None:
        self.settings = settings
        self.roles = roles
        self.box = SecretBox(load_key(settings.data, settings.secret_key))
        self.keyring = Keyring()
        self.keys = Follower(settings.connection, API_KEYS, self.keyring.apply)
        self.directory = Directory(settings.connection, settings.partitions)
        self.log_reader = LogReader(settings.partitions, scanner.load())
        self.ownerships: dict[str, Ownership] = {}
        self.recorders: dict[str, Recorder] = {}
        self.store: Store | None = None
        self.writer = ThreadPoolExecutor(1, "store-write")
        self.readers = ThreadPoolExecutor(READERS, "store-read")
        self.checks: dict[str, Callable[[], bool]] = {}
        if settings.clickhouse:
            self.store = Store(settings.clickhouse, min_free_bytes=settings.min_free_bytes)
        elif "record" in roles:
            self.store = Store.in_folder(settings.store_folder, min_free_bytes=settings.min_free_bytes)
        self.queries: Queries = self.store or RemoteStore(settings.data)

    async def open_directory(self) -> None:
        """Follow the subscriptions.

        Raises:
            KafkaError: Kafka is away.
            SecretKeyError: their secrets were sealed with another key.
        """
        await self.directory.open()
        other = self.directory.sealed_otherwise(self.box.key_id)
        if other is not None:
            raise SecretKeyError(
                f"webhook secrets are sealed with key {other}, this is key {self.box.key_id}:"
                " restore secret.key or set RED_SECRET_KEY"
            )

    def partition_of(self, client_id: str) -> int:
        """The partition of everything about a client."""
        return partition_of(client_id, self.settings.partitions)

    async def query(self, sql: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Rows of a query of ours, without holding up the loop.

        Raises:
            StoreError: the store is away or refused it.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.readers, self.queries.query, sql, parameters)
