"""The API keys that `red-stats up` makes at its first start: of the client demo, and of the operator."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from red_common.api_keys import DEFAULT_SCOPES, Keyring, Scope
from red_common.kafka.connection import KafkaConnection
from red_common.secret_keys import SecretKeys
from red_stats.kafka.api_keys import create_key, read_keyring, sign_keys
from red_stats.local.data_folder import read_keys, write_keys

WHO: Final = "up"
SCOPES: Final[Mapping[str, tuple[Scope, ...]]] = {"demo": DEFAULT_SCOPES, "operator": ("admin",)}


async def keys_of_up(
    connection: KafkaConnection, data: Path, secret_keys: SecretKeys, now: str
) -> dict[str, Any]:
    """The keys in the data folder; they are made if there are none, at the RFC 3339 time `now`.

    Those from before keys were signed are signed, once.

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
    elif keys.get("signed"):
        return keys
    else:
        keyring = await read_keyring(connection, secret_keys)
        await sign_keys(connection, _unsigned(keys, keyring), now, secret_keys, WHO)
    keys["signed"] = True
    write_keys(data, keys)
    return keys


def _unsigned(keys: Mapping[str, Any], keyring: Keyring) -> list[str]:
    """The ids of our keys that nobody has signed and that stand as they were made.

    Whoever could write to the topic may have put another secret or more scopes under their ids.
    """
    return [
        record.key_id
        for record in keyring.unsigned.values()
        if record.key_id not in keyring.records
        for client, scopes in SCOPES.items()
        if record.is_of(keys[client]["api_key"]) and (record.client_id, record.scopes) == (client, scopes)
    ]
