"""Who is calling: API keys, kept in the compacted topic `red.api-keys` and followed by both services.

A key reads `red_<key id>_<secret>`; only the SHA-256 of the secret is stored. `Follower` is the one
small class with which every process follows a compacted topic.
"""

import asyncio
import hashlib
import hmac
import logging
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal, cast

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from red_service.ending import ended
from red_service.log_ends import LogEnds

log = logging.getLogger(__name__)

TOPIC: Final = "red.api-keys"

Scope = Literal["measure", "statistics", "subscriptions", "admin"]
SCOPES: Final[tuple[Scope, ...]] = ("measure", "statistics", "subscriptions", "admin")
DEFAULT_SCOPES: Final[tuple[Scope, ...]] = ("measure", "statistics", "subscriptions")


class KeyRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """Value of `red.api-keys`, key = key_id. A revoked key stays as a record with `revoked_at`."""

    key_id: str
    client_id: str
    secret_sha256: str
    scopes: tuple[Scope, ...]
    created_at: str
    revoked_at: str | None = None


class Caller(msgspec.Struct, frozen=True):
    """The client behind a request, and what its key allows."""

    client_id: str
    key_id: str
    scopes: frozenset[str]

    def may(self, scope: str) -> bool:
        """`admin` includes every scope."""
        return scope in self.scopes or "admin" in self.scopes


def new_key(client_id: str, scopes: Iterable[Scope], created_at: str) -> tuple[KeyRecord, str]:
    """A fresh key: the record to publish, and the key itself, which nobody can read again."""
    key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    record = KeyRecord(
        key_id=key_id,
        client_id=client_id,
        secret_sha256=_sha256(secret),
        scopes=tuple(scopes),
        created_at=created_at,
    )
    return record, f"red_{key_id}_{secret}"


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


class Keyring:
    """All keys as the topic tells them; `apply` is the fold, `authenticate` the question."""

    def __init__(self) -> None:
        self.records: dict[str, KeyRecord] = {}

    def apply(self, record: ConsumerRecord) -> None:
        """Fold one record in; an unreadable one is logged and skipped, it can open no door."""
        key_id = (record.key or b"").decode(errors="replace")
        if record.value is None:
            self.records.pop(key_id, None)
            return
        try:
            self.records[key_id] = msgspec.json.decode(record.value, type=KeyRecord)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            log.warning("%s offset %s is no key record: %s", TOPIC, record.offset, error)

    def authenticate(self, authorization: str | None) -> Caller | None:
        """The caller behind an `Authorization` header, or None; compares in constant time."""
        scheme, _, token = (authorization or "").partition(" ")
        prefix, _, rest = token.strip().partition("_")
        key_id, _, secret = rest.partition("_")
        record = self.records.get(key_id)
        stored = record.secret_sha256 if record else "0" * 64
        same = hmac.compare_digest(_sha256(secret), stored)
        if scheme.lower() != "bearer" or prefix != "red" or not same or record is None:
            return None
        if record.revoked_at is not None:
            return None
        return Caller(record.client_id, key_id, frozenset(record.scopes))


class Follower:
    """Follows a topic without a group: reads it to its end, then tails it.

    `apply(record)` gets every committed record once, in order within a partition, in the event
    loop of `start`. While Kafka is away the state stays as last known and `behind_since` says
    since when (monotonic seconds), so that readiness and a metric can tell.
    """

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        apply: Callable[[ConsumerRecord], None],
        *,
        from_end: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.topic = topic
        self.positions: dict[int, int] = {}
        self.behind_since: float | None = monotonic()
        self._bootstrap = bootstrap
        self._apply = apply
        self._from_end = from_end
        self._monotonic = monotonic
        self._consumer: AIOKafkaConsumer | None = None
        self._log_ends = LogEnds(bootstrap, isolation_level="read_committed")
        self._task: asyncio.Task[None] | None = None
        self._moved = asyncio.Condition()

    @property
    def is_current(self) -> bool:
        """Whether what was applied is what Kafka has; False while Kafka is away."""
        return self.running and self.behind_since is None

    @property
    def running(self) -> bool:
        """True from a successful `start` until `stop`."""
        return self._task is not None and not self._task.done()

    async def start(self, positions: Mapping[int, int] | None = None) -> None:
        """Returns when the topic has been read to the end it had at the call; at once when it runs.

        What stands before `positions` (by partition) is known already.

        Raises:
            KafkaError: Kafka cannot be reached, or the topic does not exist.
        """
        if self.running:
            return
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            fetch_max_wait_ms=500,
        )
        self._consumer = consumer
        try:
            await consumer.start()
            numbers = await consumer._client._wait_on_metadata(self.topic)
            partitions = [TopicPartition(self.topic, p) for p in sorted(numbers)]
            consumer.assign(partitions)
            if self._from_end:
                await consumer.seek_to_end(*partitions)
            elif positions is not None:
                for tp in partitions:
                    consumer.seek(tp, positions[tp.partition])
            else:
                await consumer.seek_to_beginning(*partitions)
            for tp in partitions:
                self.positions[tp.partition] = await consumer.position(tp)
            self._task = asyncio.create_task(self._tail(), name=f"follow {self.topic}")
            await self.caught_up()
        except BaseException:
            await self.stop()
            raise
        await self._log_ends.stop()  # most are never asked again

    async def stop(self) -> None:
        """Stops following; safe to call twice."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        if self._consumer is not None:
            await ended(self._consumer.stop())
            self._consumer = None
        await self._log_ends.stop()

    async def caught_up(self) -> dict[int, int]:
        """Returns the ends when everything committed at the time of the call has been applied."""
        ends = await self.ends()
        async with self._moved:
            await self._moved.wait_for(lambda: all(self.positions[p] >= end for p, end in ends.items()))
        return ends

    async def until(self, holds: Callable[[], bool]) -> None:
        """Returns when what was applied makes `holds()` true."""
        async with self._moved:
            await self._moved.wait_for(holds)

    async def ends(self) -> dict[int, int]:
        """The committed end of every partition now."""
        ends = await self._log_ends.ends(TopicPartition(self.topic, p) for p in self.positions)
        return {tp.partition: end for tp, end in ends.items()}

    async def _tail(self) -> None:
        consumer = cast(AIOKafkaConsumer, self._consumer)
        while True:
            try:
                batches = await consumer.getmany(timeout_ms=500)
            except KafkaError as error:
                log.warning("following %s: %s", self.topic, error)
                await asyncio.sleep(0.2)
                continue
            for records in batches.values():
                for record in records:
                    self._apply(record)
            for tp in consumer.assignment():
                # Past control records too, which getmany never hands out.
                self.positions[tp.partition] = await consumer.position(tp)
            reachable = any(not node_down for node_down in _connections(consumer))
            if reachable:
                self.behind_since = None
            elif self.behind_since is None:
                self.behind_since = self._monotonic()
            async with self._moved:
                self._moved.notify_all()


def _connections(consumer: AIOKafkaConsumer) -> list[bool]:
    """For every open connection of the consumer, whether it is down."""
    return [not conn.connected() for conn in consumer._client._conns.values()]
