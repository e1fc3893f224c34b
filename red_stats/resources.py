"""What the roles of one process share, made once and opened on one exit stack."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Final, TypeVar

import orjson

from red_common.api_keys import Keyring
from red_common.kafka.follower import Follower
from red_common.kafka.partitioner import partition_of
from red_common.problems import Problem
from red_common.secret_keys import SecretKeyError, load_keys
from red_stats import topics
from red_stats.delivery.secret_box import SecretBox
from red_stats.domain.erasure import Erased
from red_stats.kafka import scanner
from red_stats.kafka.scanner import LogReader
from red_stats.kafka.subscription_cache import SubscriptionCache
from red_stats.settings import Settings
from red_stats.store.asking import Asking
from red_stats.store.clickhouse import Store
from red_stats.store.queries import Queries, Question
from red_stats.store.query_server import RemoteStore
from red_stats.store.query_shares import QueryShares
from red_stats.store.sql.questions import SqlAnswer, SqlStore, SqlText, answer
from red_stats.store.statistics import Range

Row = tuple[Any, ...]
Result = TypeVar("Result")

READERS: Final = 4
QUERY_SECONDS: Final = 10  # of one question of a client
SQL_READERS: Final = 2  # of the engine's time, SQL of all clients has no more, and one client half of it
SQL_RATE: Final = 0.5
SQL_BURST: Final = 30.0  # seconds


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
        self.sql_readers = ThreadPoolExecutor(SQL_READERS, "store-sql")
        self._killer = ThreadPoolExecutor(1, "store-kill")
        self._shares = QueryShares(self.readers)
        self._sql_shares = QueryShares(self.sql_readers, together=1, rate=SQL_RATE, seconds=SQL_BURST)
        self.store = _store(settings, roles)
        self.queries: Queries = self.store or RemoteStore(settings.data)
        self.sql_store: SqlStore = self.store or RemoteStore(settings.data)

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

    def erased_of(self, client_id: str) -> Erased:
        """What of a client has been erased, as far as this process has read of it."""
        return self.subscriptions.erased_of(client_id)

    def images_of(self, client_id: str, start: int, end: int) -> Range:
        """The images of a client in `[start, end)` of event time (ms) that have not been erased."""
        partition = self.partition_of(client_id)
        return Range(client_id, partition, start, end, self.erased_of(client_id).before)

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
        return await self.work_for(client_id, lambda asking: _rows(asking, question, item_of))

    async def ask_patiently(self, client_id: str, question: Question) -> list[Row]:
        """The same for one of many questions in a row, which wait for their turn and are never refused.

        Raises:
            StoreError: the store is away or refused it, or it took too long.
        """
        while True:
            await asyncio.sleep(self._shares.until_half(client_id))
            try:
                return await self.ask_for(client_id, question)
            except Problem as problem:
                if problem.retry_after is None:
                    raise
                await asyncio.sleep(problem.retry_after)

    async def work_for(self, client_id: str, work: Callable[[Asking], Result]) -> Result:
        """What `work` returns, which asks the store in a thread, within the client's share of the store.

        It is admitted once, however many questions it asks. If the asker leaves meanwhile (the task is
        cancelled), the engine stops to work on it.

        Raises:
            StoreError: the store is away or refused a question, or one took longer than QUERY_SECONDS.
            Problem: 429 `rate_limited`, too much of the client's waits, or its time is used up.
        """
        return await self._run(self._shares, client_id, work)

    async def answer_sql(self, client_id: str, asked: SqlText) -> SqlAnswer:
        """The answer to SQL of a client, within its share of the threads that SQL has.

        If the asker leaves meanwhile (the task is cancelled), the engine stops to work on it.

        Raises:
            SqlRefused, SqlFailed: the text may not be run, or the engine gave up.
            StoreError: the store is away.
            Problem: 429 `rate_limited`, too many of the client's queries wait, or its time is used up.
        """
        limits, erased = self.settings.sql_limits, self.erased_of(client_id)

        def work(asking: Asking) -> SqlAnswer:
            return answer(self.sql_store, client_id, asked, asking.name, limits, erased)

        return await self._run(self._sql_shares, client_id, work)

    async def _run(self, shares: QueryShares, client_id: str, work: Callable[[Asking], Result]) -> Result:
        asking = Asking(self.queries, secrets.token_hex(16), QUERY_SECONDS)
        try:
            return await shares.run(client_id, partial(work, asking))
        except asyncio.CancelledError:
            self._killer.submit(asking.end)
            raise

    async def ask(self, question: Question) -> list[tuple[Any, ...]]:
        """Rows of the store, without holding up the loop; for questions of our own.

        Raises:
            StoreError: the store is away or refused it.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.readers, self.queries.query, *question)


def _rows(asking: Asking, question: Question, item_of: Callable[[Row], Any] | None) -> list[Row]:
    rows = asking.rows(question)
    if item_of is None:
        return rows
    return [(*row, orjson.Fragment(orjson.dumps(item_of(row)))) for row in rows]


def _store(settings: Settings, roles: tuple[str, ...]) -> Store | None:
    if settings.clickhouse:
        return Store(settings.clickhouse, min_free_bytes=settings.min_free_bytes)
    if "record" in roles:
        return Store.in_folder(settings.store_folder, min_free_bytes=settings.min_free_bytes)
    return None
