"""API keys on the compacted topic `red.api-keys`: created, listed and revoked while the system runs.

`now` is an RFC 3339 time; with `who`, it is what `red.audit` says of the act.
"""

from collections.abc import Collection, Iterable, Mapping

import msgspec

from red_common.api_keys import (
    TOPIC,
    ErasedClient,
    KeyRecord,
    Keyring,
    Scope,
    erasure_key,
    is_time,
    new_key,
    revocation_key,
    signed,
)
from red_common.audit import Act, Name
from red_common.kafka import audit_log
from red_common.kafka.connection import KafkaConnection
from red_common.kafka.follower import Follower
from red_common.secret_keys import SecretKeys


class NoSuchKey(Exception):
    """Raised when a key_id is unknown."""


async def create_key(
    connection: KafkaConnection, client_id: str, scopes: Iterable[Scope], now: str, keys: SecretKeys, who: str
) -> tuple[KeyRecord, str]:
    """Create a key for a client; both services accept it within a second.

    Returns:
        The record on the topic, and the key itself, which is stored nowhere.

    Raises:
        KafkaError: Kafka cannot be reached; do not use the key.
    """
    record, key = new_key(client_id, scopes, now, keys)
    await _audited(connection, who, "key_created", now, [record])
    await _publish(connection, {record.key_id: record})
    return record, key


async def read_keyring(connection: KafkaConnection, keys: SecretKeys) -> Keyring:
    """Every key of the topic as it stands now, including revoked ones, and those without a signature.

    Raises:
        KafkaError: Kafka cannot be reached.
    """
    keyring = Keyring(keys, keep_unsigned=True)
    follower = Follower(connection, TOPIC, keyring.apply)
    try:
        await follower.start()
    finally:
        await follower.stop()
    return keyring


async def revoke_key(
    connection: KafkaConnection, key_id: str, now: str, keys: SecretKeys, who: str
) -> KeyRecord:
    """Revoke a key: within a second both services refuse it. Revoking it again changes nothing.

    Raises:
        NoSuchKey: there is no key with that id.
        KafkaError: Kafka cannot be reached.
    """
    found = (await read_keyring(connection, keys)).records.get(key_id)
    if found is None:
        raise NoSuchKey(f"there is no key {key_id}: see `red-stats keys list`")
    if found.revoked_at is None:
        found = signed(msgspec.structs.replace(found, revoked_at=now), keys)
        await _audited(connection, who, "key_revoked", now, [found])
        await _publish(connection, {key_id: found, revocation_key(key_id): found})
    return found


async def sign_keys(
    connection: KafkaConnection, key_ids: Collection[str], now: str, keys: SecretKeys, who: str
) -> list[KeyRecord]:
    """Sign records again with the secret key in use, as they stand; those without a signature become keys.

    Raises:
        NoSuchKey: there is no record of one of the ids; nothing has been signed.
        KafkaError: Kafka cannot be reached.
    """
    if not key_ids:
        return []
    keyring = await read_keyring(connection, keys)
    known = keyring.unsigned | keyring.records
    missing = [key_id for key_id in key_ids if key_id not in known]
    if missing:
        raise NoSuchKey(f"there is no key {', '.join(missing)}: see `red-stats keys list`")
    records = [signed(known[key_id], keys) for key_id in key_ids]
    again = {record.key_id: record for record in records}
    gone = {revocation_key(record.key_id): record for record in records if record.revoked_at is not None}
    await _audited(connection, who, "key_signed", now, records)
    await _publish(connection, again | gone)
    return records


async def widen_keys(
    connection: KafkaConnection,
    records: Iterable[KeyRecord],
    scopes: tuple[Scope, ...],
    now: str,
    keys: SecretKeys,
    who: str,
) -> None:
    """Give keys that are not revoked the scopes that they lack, if any.

    Raises:
        KafkaError: Kafka cannot be reached.
    """
    found = [
        signed(msgspec.structs.replace(record, scopes=scopes), keys)
        for record in records
        if record.revoked_at is None and not set(scopes) <= set(record.scopes)
    ]
    if found:
        await _audited(connection, who, "key_widened", now, found)
        await _publish(connection, {record.key_id: record for record in found})


async def erase_keys(connection: KafkaConnection, client_id: str, now: str, keys: SecretKeys) -> int:
    """End every key that a client has; within a second both services refuse them. Returns how many.

    It is as if each had been made before: who writes its record again revives nothing. RED deletes what it
    stored of the client until `now`, which is to be later than what was stored.

    Raises:
        KafkaError: Kafka cannot be reached.
    """
    gone, records = ending(await read_keyring(connection, keys), client_id, now, keys)
    await _publish(connection, records)
    return gone


def ending(
    keyring: Keyring, client_id: str, now: str, keys: SecretKeys
) -> tuple[int, Mapping[str, ErasedClient | None]]:
    """How many keys a client has, and the records that end them, by record key; None is a tombstone.

    Records that anybody could have written go, too, but say nothing of how many there are or of when.
    """
    known = keyring.unsigned | keyring.records
    names = [record.key_id for record in known.values() if record.client_id == client_id]
    ours = [record for record in keyring.records.values() if record.client_id == client_id]
    at = max([now, *(record.created_at for record in ours if is_time(record.created_at))])
    erased = ErasedClient(client_id=client_id, erased_at=at).signed(keys)
    tombstones = dict.fromkeys([*names, *map(revocation_key, names)])
    return len(ours), {erasure_key(client_id): erased, **tombstones}


async def _audited(
    connection: KafkaConnection, who: str, act: Name, now: str, records: Iterable[KeyRecord]
) -> None:
    """Written before the keys are: what has not been written down does not happen."""
    acts = [Act(who, act, record.key_id, record.client_id) for record in records]
    await audit_log.write(connection, [one.once(audit_log.new_id(), now) for one in acts])


async def _publish(
    connection: KafkaConnection, records: Mapping[str, KeyRecord | ErasedClient | None]
) -> None:
    """Write records by their keys; None is a tombstone."""
    producer = connection.producer(acks="all", enable_idempotence=True, request_timeout_ms=10_000)
    await producer.start()
    try:
        for name, record in records.items():
            value = None if record is None else msgspec.json.encode(record)
            await producer.send_and_wait(TOPIC, value, name.encode())
    finally:
        await producer.stop()
