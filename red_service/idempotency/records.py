"""What RED remembers about a keyed request (one with an Idempotency-Key) for 24 hours, in the image store.

    keys/{client_id}/{sha256 of the key}/{number}          an intent: what will be published, and by whom
    keys/{client_id}/{sha256 of the key}/{number}.answer   how it ended

An intent is written with create-if-absent, so one of the processes that try wins. It holds the exact
events, so whoever takes over publishes the same ones, or finds them in the log.
"""

import hashlib
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

REMEMBERED: Final = timedelta(hours=24)
PREFIX: Final = "keys"


class Planned(msgspec.Struct, frozen=True):
    """One event of the request as JSON, and the response item of its image but for the position."""

    image_id: str
    value: str
    item: dict[str, Any]


class Intent(msgspec.Struct, frozen=True):
    """A keyed request whose events are about to be published.

    `log_end` is the end offset of the partition before them, `producer` the transactional id that
    publishes them. `rejected` holds the items that have no event, each with its index.
    """

    body: str  # SHA-256 of the request: see `fingerprint`
    at: datetime
    producer: str
    partition: int
    log_end: int
    planned: tuple[Planned, ...]
    rejected: tuple[dict[str, Any], ...]
    multipart: bool


class Answer(msgspec.Struct, frozen=True):
    """The answer to a keyed request: its response items, in their order."""

    body: str
    at: datetime
    items: tuple[dict[str, Any], ...]
    multipart: bool


class State(msgspec.Struct, frozen=True):
    """The newest intent of a key, or its answer once there is one; `number` is -1 if there is neither."""

    number: int = -1
    intent: Intent | None = None
    answer: Answer | None = None

    def is_forgotten(self, now: datetime) -> bool:
        """Whether the key is unused, or was last used more than REMEMBERED ago."""
        newest = self.answer or self.intent
        return newest is None or now - newest.at > REMEMBERED

    def left(self, lease: timedelta, now: datetime) -> float:
        """Seconds left to the process that wrote the intent, 0 or less when others may take over."""
        return 0.0 if self.intent is None else (self.intent.at + lease - now).total_seconds()


def folder_of(client_id: str, key: str) -> str:
    """The folder of a client's key; it holds the key's hash, never the key."""
    return f"{PREFIX}/{client_id}/{hashlib.sha256(key.encode()).hexdigest()}"


def fingerprint(parts: list[tuple[str | None, bytes]], multipart: bool) -> str:
    """SHA-256, in hex, over file names and bytes: tells another body under the same key apart."""
    digest = hashlib.sha256(b"multipart" if multipart else b"raw")
    for name, content in parts:
        digest.update(repr((name, len(content))).encode())
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()
