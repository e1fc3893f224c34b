"""API keys on the compacted topic `red.api-keys`: created, listed and revoked while the system runs."""

from collections.abc import Iterable

import msgspec

from red_common.api_keys import TOPIC, KeyRecord, Keyring, Scope, new_key
from red_common.kafka.connection import KafkaConnection
from red_common.kafka.follower import Follower


class NoSuchKey(Exception):
    """Raised when a key_id is unknown."""


async def create_key(
    connection: KafkaConnection, client_id: str, scopes: Iterable[Scope], now: str
) -> tuple[KeyRecord, str]:
    """Create a key for a client; both services accept it within a second. `now` is an RFC 3339 time.

    Returns:
        The record on the topic, and the key itself, which is stored nowhere.

    Raises:
        KafkaError: Kafka cannot be reached; do not use the key.
    """
    record, key = new_key(client_id, scopes, now)
    await _publish(connection, record)
    return record, key


async def list_keys(connection: KafkaConnection) -> list[KeyRecord]:
    """Every key, including revoked ones, oldest first.

    Raises:
        KafkaError: Kafka cannot be reached.
    """
    keyring = Keyring()
    follower = Follower(connection, TOPIC, keyring.apply)
    try:
        await follower.start()
    finally:
        await follower.stop()
    return sorted(keyring.records.values(), key=lambda record: record.created_at)


async def revoke_key(connection: KafkaConnection, key_id: str, now: str) -> KeyRecord:
    """Revoke a key: within a second both services refuse it. Revoking it again changes nothing.

    Raises:
        NoSuchKey: there is no key with that id.
        KafkaError: Kafka cannot be reached.
    """
    found = next((record for record in await list_keys(connection) if record.key_id == key_id), None)
    if found is None:
        raise NoSuchKey(f"there is no key {key_id}: see `red-stats keys list`")
    if found.revoked_at is None:
        found = msgspec.structs.replace(found, revoked_at=now)
        await _publish(connection, found)
    return found


async def _publish(connection: KafkaConnection, record: KeyRecord) -> None:
    producer = connection.producer(acks="all", enable_idempotence=True, request_timeout_ms=10_000)
    await producer.start()
    try:
        await producer.send_and_wait(TOPIC, msgspec.json.encode(record), record.key_id.encode())
    finally:
        await producer.stop()
