"""API keys, kept in the compacted topic `red.api-keys`, which both services follow.

A key has the form `red_<key id>_<secret>`; only the SHA-256 of the secret is stored.
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
    """The value of a record on `red.api-keys`; the record's key is `key_id`.

    Revoking a key publishes its record again with `revoked_at` set. Times are RFC 3339 in UTC.
    """

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
        """Whether the key has this scope; `admin` includes every scope."""
        return scope in self.scopes or "admin" in self.scopes


def new_key(client_id: str, scopes: Iterable[Scope], created_at: str) -> tuple[KeyRecord, str]:
    """A fresh key: the record to publish, and the key itself, which cannot be recovered later."""
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
    """Every key of the topic: `apply` feeds it, `authenticate` asks it. `records` holds them by key id."""

    def __init__(self) -> None:
        self.records: dict[str, KeyRecord] = {}

    def apply(self, record: ConsumerRecord) -> None:
        """Apply one record of the topic; applying it twice changes nothing.

        A tombstone removes its key. An unreadable record is logged and skipped: what was known about
        the key stays as it was.
        """
        key_id = (record.key or b"").decode(errors="replace")
        if record.value is None:
            self.records.pop(key_id, None)
            return
        try:
            self.records[key_id] = msgspec.json.decode(record.value, type=KeyRecord)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            log.warning("%s: skipped offset %s, not a valid key record: %s", TOPIC, record.offset, error)

    def authenticate(self, authorization: str | None) -> Caller | None:
        """The caller that an `Authorization` header identifies.

        None without a header, for a malformed one, an unknown key, a wrong secret or a revoked key.
        Hashes are compared in constant time.
        """
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
