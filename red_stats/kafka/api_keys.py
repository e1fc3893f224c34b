"""API keys on the compacted topic `red.api-keys`: created, listed and revoked while the system runs.

`now` is an RFC 3339 time; with `who`, it is what `red.audit` says of the act.
"""

from collections.abc import Collection, Iterable, Mapping

import msgspec

from red_common.api_keys import TOPIC, KeyRecord, Keyring, Scope, new_key, revocation_key, signed
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


async def _audited(
    connection: KafkaConnection, who: str, act: Name, now: str, records: Iterable[KeyRecord]
) -> None:
    """Written before the keys are: what has not been written down does not happen."""
    acts = [Act(who, act, record.key_id, record.client_id) for record in records]
    await audit_log.write(connection, [one.once(audit_log.new_id(), now) for one in acts])


async def _publish(connection: KafkaConnection, records: Mapping[str, KeyRecord]) -> None:
    producer = connection.producer(acks="all", enable_idempotence=True, request_timeout_ms=10_000)
    await producer.start()
    try:
        for name, record in records.items():
            await producer.send_and_wait(TOPIC, msgspec.json.encode(record), name.encode())
    finally:
        await producer.stop()
