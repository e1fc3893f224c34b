"""API keys, kept in the compacted topic `red.api-keys`, which both services follow.

A key has the form `red_<key id>_<secret>`; only the SHA-256 of the secret is stored.
"""

import hashlib
import hmac
import logging
import secrets
from collections.abc import Iterable
from datetime import datetime
from typing import Final, Literal, NamedTuple

import msgspec

from red_common.events import rfc3339
from red_common.kafka.connection import ConsumerRecord
from red_common.secret_keys import SecretKeys

log = logging.getLogger(__name__)

TOPIC: Final = "red.api-keys"
ERASED: Final = "erased/"  # begins the record keys of erased clients; and what their signatures are for

Scope = Literal["measure", "statistics", "subscriptions", "sql", "admin"]
SCOPES: Final[tuple[Scope, ...]] = ("measure", "statistics", "subscriptions", "sql", "admin")
DEFAULT_SCOPES: Final[tuple[Scope, ...]] = ("measure", "statistics", "subscriptions")


class KeyRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """The value of a record on `red.api-keys`; the record's key is `key_id`.

    Revoking a key publishes its record again with `revoked_at` set, and once more under another record key
    (`revocation_key`), which no replay of the first record displaces. Times are RFC 3339 in UTC. `mac` is a
    signature under a secret key of the installation: without one, whoever may write to the topic could make
    keys.
    """

    key_id: str
    client_id: str
    secret_sha256: str
    scopes: tuple[Scope, ...]
    created_at: str
    revoked_at: str | None = None
    mac: str = ""

    def is_of(self, key: str) -> bool:
        """Whether the record is that of this key."""
        _, key_id, secret = _parts(key)
        return key_id == self.key_id and hmac.compare_digest(_sha256(secret), self.secret_sha256)

    @property
    def signed_bytes(self) -> bytes:
        """What `mac` is of: everything else, in one form."""
        return msgspec.json.encode(msgspec.structs.astuple(self)[:-1])


class ErasedClient(msgspec.Struct, frozen=True, kw_only=True):
    """The value of a record on `red.api-keys` under `erasure_key`: the client was erased.

    Its keys made until `erased_at` (RFC 3339 in UTC) open nothing, whatever is written again, and what is
    stored of it until then goes. `mac` is a signature as that of a key's record.
    """

    client_id: str
    erased_at: str
    mac: str = ""

    @property
    def signed_bytes(self) -> bytes:
        """What `mac` is of: everything else, in one form."""
        return msgspec.json.encode(msgspec.structs.astuple(self)[:-1])

    def signed(self, keys: SecretKeys) -> "ErasedClient":
        """The record with a signature under the secret key in use."""
        return msgspec.structs.replace(self, mac=keys.sign(ERASED, self.signed_bytes))


class Caller(msgspec.Struct, frozen=True):
    """The client behind a request, and what its key allows."""

    client_id: str
    key_id: str
    scopes: frozenset[str]

    def may(self, scope: str) -> bool:
        """Whether the key has this scope; `admin` includes every scope."""
        return scope in self.scopes or "admin" in self.scopes


class Refused(NamedTuple):
    """Why a request has no caller; the key's id and client only if the key is one of ours."""

    reason: Literal["missing", "malformed", "unknown", "wrong_secret", "revoked"]
    key_id: str | None = None
    client_id: str | None = None


def new_key(
    client_id: str, scopes: Iterable[Scope], created_at: str, keys: SecretKeys
) -> tuple[KeyRecord, str]:
    """A fresh key: the record to publish, and the key itself, which cannot be recovered later."""
    key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    record = KeyRecord(
        key_id=key_id,
        client_id=client_id,
        secret_sha256=_sha256(secret),
        scopes=tuple(scopes),
        created_at=created_at,
    )
    return signed(record, keys), f"red_{key_id}_{secret}"


def signed(record: KeyRecord, keys: SecretKeys) -> KeyRecord:
    """The record with a signature under the secret key in use."""
    return msgspec.structs.replace(record, mac=keys.sign(TOPIC, record.signed_bytes))


def revocation_key(key_id: str) -> str:
    """The record key under which a revoked key stands for good."""
    return f"revoked/{key_id}"


def erasure_key(client_id: str) -> str:
    """The record key under which it stands for good that a client was erased."""
    return f"{ERASED}{client_id}"


def _parts(key: str) -> tuple[str, str, str]:
    """What stands before, the key id, and the secret."""
    prefix, _, rest = key.partition("_")
    key_id, _, secret = rest.partition("_")
    return prefix, key_id, secret


def is_time(text: str) -> bool:
    """Whether a text is a time in the one form that sorts as it passes: `2026-01-01T00:00:00.000Z`."""
    try:
        return rfc3339(datetime.fromisoformat(text)) == text
    except (ValueError, OverflowError):
        return False


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()


class Keyring:
    """Every key of the topic: `apply` feeds it, `authenticate` asks it. `records` holds them by key id.

    `erased` says of each client that was erased when that was (RFC 3339).

    `ignored` counts the records that were not taken. With `keep_unsigned`, `unsigned` holds those without a
    signature of ours, which open nothing: to be looked at, not for services, whose memory anybody could fill.
    """

    def __init__(self, keys: SecretKeys, *, keep_unsigned: bool = False) -> None:
        self._keys, self._keep_unsigned = keys, keep_unsigned
        self._revoked: set[str] = set()
        self.records: dict[str, KeyRecord] = {}
        self.unsigned: dict[str, KeyRecord] = {}
        self.erased: dict[str, str] = {}
        self.ignored = 0

    def apply(self, record: ConsumerRecord) -> None:
        """Apply one record of the topic; applying it twice changes nothing.

        A tombstone removes its key. A record that is unreadable, is not signed by this installation, or would
        revive a revoked key is counted and skipped: what was known about the key stays as it was.
        """
        name = (record.key or b"").decode(errors="replace")
        if record.value is None:
            self.records.pop(name, None)
            self.unsigned.pop(name, None)
            return
        if name.startswith(ERASED):
            self._erase(record, name)
            return
        try:
            found = msgspec.json.decode(record.value, type=KeyRecord)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            self._ignore(record, f"not a valid key record: {error}")
            return
        is_revoked = found.revoked_at is not None
        if not self._keys.has_signed(TOPIC, found.signed_bytes, found.mac):
            if self._keep_unsigned:
                self.unsigned[found.key_id] = found
            self._ignore(record, f"key {found.key_id[:40]} is not signed with our secret key")
        elif name not in (found.key_id, revocation_key(found.key_id) if is_revoked else found.key_id):
            self._ignore(record, f"key {found.key_id} stands under another record key")
        elif found.key_id in self._revoked and not is_revoked:
            self._ignore(record, f"key {found.key_id} has been revoked")
        elif self._is_erased(found):
            self._ignore(record, f"key {found.key_id} is of a client that has been erased")
        else:
            self.records[found.key_id] = found
            self.unsigned.pop(found.key_id, None)
            if is_revoked:
                self._revoked.add(found.key_id)

    def _erase(self, record: ConsumerRecord, name: str) -> None:
        try:
            found = msgspec.json.decode(record.value, type=ErasedClient)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            self._ignore(record, f"not a valid record of an erased client: {error}")
            return
        if not self._keys.has_signed(ERASED, found.signed_bytes, found.mac):
            self._ignore(record, "an erased client is not signed with our secret key")
        elif name != erasure_key(found.client_id):
            self._ignore(record, "an erased client stands under another record key")
        elif not is_time(found.erased_at):
            self._ignore(record, f"a client was erased at {found.erased_at[:40]!r}, which is no time")
        elif found.erased_at > self.erased.get(found.client_id, ""):
            self.erased[found.client_id] = found.erased_at
            for known in (self.records, self.unsigned):
                for key_id in [key_id for key_id, one in known.items() if self._is_erased(one)]:
                    del known[key_id]

    def _is_erased(self, record: KeyRecord) -> bool:
        """Whether a key was made before its client was erased, or at no time that can be compared."""
        erased_at = self.erased.get(record.client_id)
        if erased_at is None:
            return False
        return record.created_at <= erased_at or not is_time(record.created_at)

    def _ignore(self, record: ConsumerRecord, why: str) -> None:
        self.ignored += 1
        log.warning("%s: skipped offset %s: %s", TOPIC, record.offset, why)

    def authenticate(self, authorization: str | None) -> Caller | Refused:
        """The caller that an `Authorization` header identifies, or why there is none.

        Hashes are compared in constant time.
        """
        if not authorization:
            return Refused("missing")
        if not authorization.isascii():
            return Refused("malformed")
        scheme, _, token = authorization.partition(" ")
        prefix, key_id, secret = _parts(token.strip())
        record = self.records.get(key_id)
        stored = record.secret_sha256 if record else "0" * 64
        same = hmac.compare_digest(_sha256(secret), stored)
        if scheme.lower() != "bearer" or prefix != "red":
            return Refused("malformed")  # what stands where the id does may be a secret
        if record is None:
            return Refused("unknown")
        if not same:
            return Refused("wrong_secret", key_id, record.client_id)
        if record.revoked_at is not None:
            return Refused("revoked", key_id, record.client_id)
        return Caller(record.client_id, key_id, frozenset(record.scopes))
