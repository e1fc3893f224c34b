"""What RED remembers of keyed requests for 24 hours, in the image store.

    keys/{client_id}/{sha256 of the key}/{number}          an intent: what will be produced, and by whom
    keys/{client_id}/{sha256 of the key}/{number}.answer   how it ended

An intent is made by create-if-absent, so of all processes that try one wins; it holds the very
events, so whoever takes over produces the same ones or finds them in the log.
"""

import hashlib
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

REMEMBERED: Final = timedelta(hours=24)
PREFIX: Final = "keys"


class Planned(msgspec.Struct, frozen=True):
    """One event of the request: its value and, beside it, the item of the answer without a position."""

    image_id: str
    value: str
    item: dict[str, Any]


class Intent(msgspec.Struct, frozen=True):
    """A keyed request about to be produced.

    `log_end` is the partition's end before it, `producer` the transactional id it goes out under.
    Items without an event (a rejected part) stand in `rejected` by their index.
    """

    body: str  # sha256 of everything that was sent
    at: datetime
    producer: str
    partition: int
    log_end: int
    planned: tuple[Planned, ...]
    rejected: tuple[dict[str, Any], ...]
    multipart: bool


class Answer(msgspec.Struct, frozen=True):
    """How a keyed request ended: the items of its answer, in their order."""

    body: str
    at: datetime
    items: tuple[dict[str, Any], ...]
    multipart: bool


class State(msgspec.Struct, frozen=True):
    """The newest intent of a key and its answer, None when there is none; `number` -1 is no intent."""

    number: int = -1
    intent: Intent | None = None
    answer: Answer | None = None

    def is_forgotten(self, now: datetime) -> bool:
        """Whether a request under this key is a new one."""
        told = self.answer or self.intent
        return told is None or now - told.at > REMEMBERED

    def left(self, lease: timedelta, now: datetime) -> float:
        """Seconds the process of the intent still has to end it."""
        return 0.0 if self.intent is None else (self.intent.at + lease - now).total_seconds()


def folder_of(client_id: str, key: str) -> str:
    """Where everything about a key of a client is; the key itself is no part of it."""
    return f"{PREFIX}/{client_id}/{hashlib.sha256(key.encode()).hexdigest()}"


def fingerprint(parts: list[tuple[str | None, bytes]], multipart: bool) -> str:
    """SHA-256 over names and bytes, so that another body under the same key is told apart."""
    told = hashlib.sha256(b"multipart" if multipart else b"raw")
    for name, content in parts:
        told.update(repr((name, len(content))).encode())
        told.update(hashlib.sha256(content).digest())
    return told.hexdigest()
