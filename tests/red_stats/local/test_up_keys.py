"""What `up` takes for its own keys: only what it has made itself."""

import msgspec
import pytest

from red_common.api_keys import Caller, new_key, signed
from red_common.kafka.connection import KafkaConnection
from red_stats.kafka.api_keys import erase_keys, read_keyring
from red_stats.kafka.audit_log import acts_since
from red_stats.local.data_folder import read_keys, write_keys
from red_stats.local.up_keys import SCOPES, keys_of_up
from tests.services import SECRET_KEYS, published

NOW = "2026-01-01T00:00:00.000Z"


async def opened(kafka, keys):
    """What each key may do; None: nothing."""
    keyring = await read_keyring(KafkaConnection(kafka), SECRET_KEYS)
    callers = {name: keyring.authenticate(f"Bearer {keys[name]['api_key']}") for name in SCOPES}
    return {
        name: sorted(caller.scopes) if isinstance(caller, Caller) else None
        for name, caller in callers.items()
    }


async def from_before(kafka, folder, **changes):
    """Keys without signatures in a folder and on the topic; `changes` are in the demo client's record."""
    keys = {}
    for client, scopes in SCOPES.items():
        record, key = new_key(client, scopes, NOW, SECRET_KEYS)
        changed = changes if client == "demo" else {}
        await published(kafka, msgspec.structs.replace(record, mac="", **changed))
        keys[client] = {"api_key": key}
    write_keys(folder, keys)
    return keys


async def test_keys_are_made_once_and_open_what_their_scopes_say(kafka, tmp_path):
    connection = KafkaConnection(kafka)
    keys = await keys_of_up(connection, tmp_path, SECRET_KEYS, NOW)
    assert await keys_of_up(connection, tmp_path, SECRET_KEYS, NOW) == keys == read_keys(tmp_path)
    found = await opened(kafka, keys)
    assert found == {"demo": ["measure", "sql", "statistics", "subscriptions"], "operator": ["admin"]}


async def test_the_keys_that_up_makes_are_in_the_audit_log(kafka, tmp_path):
    connection = KafkaConnection(kafka)
    keys = await keys_of_up(connection, tmp_path, SECRET_KEYS, NOW)
    made = {keys[name]["api_key"].split("_")[1] for name in SCOPES}
    records = (await acts_since(connection, NOW)).records
    found = {one.target: (one.who, one.act, one.at) for one in records if one.target in made}
    assert found == dict.fromkeys(made, ("up", "key_created", NOW))


async def test_a_key_from_before_a_scope_gets_it_once_and_the_act_is_in_the_audit_log(kafka, tmp_path):
    keys = {}
    for client, scopes in SCOPES.items():
        record, key = new_key(client, [one for one in scopes if one != "sql"], NOW, SECRET_KEYS)
        await published(kafka, record)
        keys[client] = {"api_key": key}
    write_keys(tmp_path, keys | {"signed": True})

    for _ in range(2):
        await keys_of_up(KafkaConnection(kafka), tmp_path, SECRET_KEYS, NOW)

    assert await opened(kafka, keys) == {
        "demo": ["measure", "sql", "statistics", "subscriptions"], "operator": ["admin"]
    }  # fmt: skip
    key_id = keys["demo"]["api_key"].split("_")[1]
    records = (await acts_since(KafkaConnection(kafka), NOW)).records
    assert [one.act for one in records if one.target == key_id] == ["key_widened"]


async def test_a_revoked_key_gets_no_scope(kafka, tmp_path):
    record, key = new_key("demo", ["measure"], NOW, SECRET_KEYS)
    await published(kafka, signed(msgspec.structs.replace(record, revoked_at=NOW), SECRET_KEYS))
    _, operator = new_key("operator", ["admin"], NOW, SECRET_KEYS)
    write_keys(tmp_path, {"demo": {"api_key": key}, "operator": {"api_key": operator}, "signed": True})

    await keys_of_up(KafkaConnection(kafka), tmp_path, SECRET_KEYS, NOW)

    keyring = await read_keyring(KafkaConnection(kafka), SECRET_KEYS)
    assert keyring.authenticate(f"Bearer {key}").reason == "revoked"


async def test_keys_from_before_signatures_are_signed_once(kafka, tmp_path):
    keys = await from_before(kafka, tmp_path)
    assert await opened(kafka, keys) == {"demo": None, "operator": None}
    await keys_of_up(KafkaConnection(kafka), tmp_path, SECRET_KEYS, NOW)
    assert None not in (await opened(kafka, keys)).values()
    assert read_keys(tmp_path)["signed"] is True


@pytest.mark.parametrize(
    "minted",
    [{"scopes": ("admin",)}, {"secret_sha256": "0" * 64}, {"client_id": "eve"}],
    ids=["more scopes", "another secret", "another client"],
)
async def test_what_somebody_has_put_under_the_id_of_a_key_is_not_signed(kafka, tmp_path, minted):
    keys = await from_before(kafka, tmp_path, **minted)
    await keys_of_up(KafkaConnection(kafka), tmp_path, SECRET_KEYS, NOW)
    assert await opened(kafka, keys) == {"demo": None, "operator": ["admin"]}


async def test_the_demo_client_gets_a_new_key_after_it_was_erased(kafka, tmp_path):
    connection = KafkaConnection(kafka)
    keys = await keys_of_up(connection, tmp_path, SECRET_KEYS, "2026-01-01T00:00:00.000Z")
    await erase_keys(connection, "demo", "2026-01-02T00:00:00.000Z", SECRET_KEYS)
    assert (await opened(kafka, keys))["demo"] is None

    again = await keys_of_up(connection, tmp_path, SECRET_KEYS, "2026-01-03T00:00:00.000Z")

    assert again["operator"] == keys["operator"]
    assert again == read_keys(tmp_path)
    assert (await opened(kafka, again))["demo"] == ["measure", "sql", "statistics", "subscriptions"]
