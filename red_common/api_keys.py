"""Who is calling: API keys, kept in the compacted topic `red.api-keys` and followed by both services.

A key reads `red_<key id>_<secret>`; only the SHA-256 of the secret is stored.
"""

import hashlib
import hmac
import logging
import secrets
from collections.abc import Iterable
from typing import Final, Literal

import msgspec

from red_common.kafka.connection import ConsumerRecord

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
