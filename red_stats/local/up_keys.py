"""The API keys that `red-stats up` makes at its first start: of the client demo, and of the operator."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from red_common.api_keys import DEFAULT_SCOPES, Keyring, Scope
from red_common.kafka.connection import KafkaConnection
from red_common.secret_keys import SecretKeys
from red_stats.kafka.api_keys import create_key, read_keyring, sign_keys, widen_keys
from red_stats.local.data_folder import read_keys, write_keys

WHO: Final = "up"
SCOPES: Final[Mapping[str, tuple[Scope, ...]]] = {"demo": (*DEFAULT_SCOPES, "sql"), "operator": ("admin",)}


async def keys_of_up(
    connection: KafkaConnection, data: Path, secret_keys: SecretKeys, now: str
) -> dict[str, Any]:
    """The keys in the data folder; they are made if there are none, at the RFC 3339 time `now`.

    Those from before keys were signed are signed, and that of demo gets the scopes it has now, once. Whoever
    was erased gets a new one.

    Raises:
        KafkaError: Kafka cannot be reached.
        Unusable: the file of the keys cannot be read.
    """
    keys = read_keys(data)
    if keys is None:
        made = {
            client: (await create_key(connection, client, scopes, now, secret_keys, WHO))[1]
            for client, scopes in SCOPES.items()
        }
        keys = {
            "demo": {"client_id": "demo", "api_key": made["demo"]},
            "operator": {"api_key": made["operator"]},
        }
    else:
        keyring = await read_keyring(connection, secret_keys)
        if not keys.get("signed"):
            await sign_keys(connection, _unsigned(keys, keyring), now, secret_keys, WHO)
            keyring = await read_keyring(connection, secret_keys)
        for client in _erased(keys, keyring):
            keys[client]["api_key"] = (
                await create_key(connection, client, SCOPES[client], now, secret_keys, WHO)
            )[1]
        if keys.get("scopes") != list(SCOPES["demo"]):
            ours = [one for one in keyring.records.values() if one.is_of(keys["demo"]["api_key"])]
            await widen_keys(connection, ours, SCOPES["demo"], now, secret_keys, WHO)
    now_kept = keys | {"signed": True, "scopes": list(SCOPES["demo"])}
    if now_kept != read_keys(data):
        write_keys(data, now_kept)
    return now_kept


def _erased(keys: Mapping[str, Any], keyring: Keyring) -> list[str]:
    """Whose key has ended because the client was erased; a key that was revoked stays so."""
    return [
        client
        for client in SCOPES
        if client in keyring.erased
        and not any(record.is_of(keys[client]["api_key"]) for record in keyring.records.values())
    ]


def _unsigned(keys: Mapping[str, Any], keyring: Keyring) -> list[str]:
    """The ids of our keys that nobody has signed and that stand as they were made.

    Whoever could write to the topic may have put another secret or more scopes under their ids.
    """
    return [
        record.key_id
        for record in keyring.unsigned.values()
        if record.key_id not in keyring.records
        for client, scopes in SCOPES.items()
        if record.is_of(keys[client]["api_key"])
        and record.client_id == client
        and set(record.scopes) <= set(scopes)
    ]
