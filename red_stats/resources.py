"""What the roles of one process share, made once and opened on one exit stack."""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Final

import orjson

from red_common.api_keys import Keyring
from red_common.kafka.follower import Follower
from red_common.kafka.partitioner import partition_of
from red_common.secret_keys import SecretKeyError, load_keys
from red_stats import topics
from red_stats.delivery.secret_box import SecretBox
from red_stats.kafka import scanner
from red_stats.kafka.scanner import LogReader
from red_stats.kafka.subscription_cache import SubscriptionCache
from red_stats.settings import Settings
from red_stats.store import queries
from red_stats.store.clickhouse import Store, StoreError
from red_stats.store.queries import Queries, Question
from red_stats.store.query_server import RemoteStore
from red_stats.store.query_shares import QueryShares

Row = tuple[Any, ...]

log = logging.getLogger(__name__)

READERS: Final = 4
QUERY_SECONDS: Final = 10  # of one question of a client


class Resources:
    """Everything but Kafka's partitions; nothing connects before a role opens it.

    `store` is None in a process without role record that has no ClickHouse server. Changelogs are
    loaded within `loading()`.
    """

    def __init__(
        self,
        settings: Settings,
        roles: tuple[str, ...],
        *,
        loading: Callable[[], AbstractContextManager[Any]] = contextlib.nullcontext,
    ) -> None:
        self.settings = settings
        self.loading = loading
        self.secret_keys = load_keys(settings.data, settings.secret_key)
        self.box = SecretBox(self.secret_keys)
        self.keyring = Keyring(self.secret_keys)
        self.keys = Follower(settings.connection, topics.API_KEYS, self.keyring.apply)
        self.subscriptions = SubscriptionCache(settings.connection, settings.partitions, loading=loading)
        self.log_reader = LogReader(settings.partitions, scanner.load())
        self.writer = ThreadPoolExecutor(1, "store-write")
        self.readers = ThreadPoolExecutor(READERS, "store-read")
        self._killer = ThreadPoolExecutor(1, "store-kill")
        self._shares = QueryShares(self.readers)
        self.store = _store(settings, roles)
        self.queries: Queries = self.store or RemoteStore(settings.data)

    @contextlib.asynccontextmanager
    async def subscriptions_opened(self, on_changed: Callable[[str], None]) -> AsyncIterator[None]:
        """Follows the subscriptions meanwhile; `on_changed(client_id)` after each change.

        Raises:
            KafkaError: Kafka is away.
            SecretKeyError: their secrets were sealed with another key.
        """
        async with self.subscriptions.opened(on_changed):
            ours = self.secret_keys.ids
            other = self.subscriptions.sealed_otherwise(ours)
            if other is not None:
                raise SecretKeyError(
                    f"webhook secrets are sealed with key {other}, this is key {', '.join(sorted(ours))}:"
                    " restore secret.key or set RED_SECRET_KEY"
                )
            yield

    def partition_of(self, client_id: str) -> int:
        """The partition of everything about a client."""
        return partition_of(client_id, self.settings.partitions)

    async def ask_for(
        self, client_id: str, question: Question, item_of: Callable[[Row], Any] | None = None
    ) -> list[Row]:
        """Rows of the store for a client, within its share of the store and QUERY_SECONDS.

        With `item_of`, what that makes of a row stands behind it as JSON; making it counts to the share.

        If the asker leaves meanwhile (the task is cancelled), the engine stops to work on it.

        Raises:
            StoreError: the store is away or refused it, or it took too long.
            Problem: 429 `rate_limited`, too many of the client's queries wait, or its time is used up.
        """
        name = secrets.token_hex(16)
        named = queries.named(question, name, QUERY_SECONDS)
        try:
            return await self._shares.run(client_id, partial(_rows, self.queries, named, item_of))
        except asyncio.CancelledError:
            self._killer.submit(_kill, self.queries, name)
            raise

    async def ask(self, question: Question) -> list[tuple[Any, ...]]:
        """Rows of the store, without holding up the loop; for questions of our own.

        Raises:
            StoreError: the store is away or refused it.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.readers, self.queries.query, *question)


def _rows(store: Queries, question: Question, item_of: Callable[[Row], Any] | None) -> list[Row]:
    rows = store.query(*question)
    if item_of is None:
        return rows
    return [(*row, orjson.Fragment(orjson.dumps(item_of(row)))) for row in rows]


def _kill(store: Queries, name: str) -> None:
    try:
        store.query(*queries.killing(name))
    except StoreError as error:  # then it ends after QUERY_SECONDS
        log.warning("a question that nobody waits for could not be ended: %s", error)


def _store(settings: Settings, roles: tuple[str, ...]) -> Store | None:
    if settings.clickhouse:
        return Store(settings.clickhouse, min_free_bytes=settings.min_free_bytes)
    if "record" in roles:
        return Store.in_folder(settings.store_folder, min_free_bytes=settings.min_free_bytes)
    return None
