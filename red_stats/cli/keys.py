"""`red-stats keys`: API keys of clients."""

import json
from typing import Annotated

from cyclopts import App, Parameter

from red_common.api_keys import DEFAULT_SCOPES, KeyRecord, Scope
from red_common.events import CLIENT_ID
from red_stats.cli.base import Json, app, fail, now_text, operator, run, secret_keys_of

keys = App(name="keys", help="Create, list and revoke API keys while the system runs.")
app.command(keys)


@keys.command
def create(
    client: str,
    /,
    *,
    scope: Annotated[list[Scope] | None, Parameter(help="Repeatable; default: all scopes but admin.")] = None,
    as_json: Json = False,
) -> None:
    """Create a key for CLIENT; it is shown once."""
    from red_stats.kafka.api_keys import create_key
    from red_stats.settings import load

    if not CLIENT_ID.fullmatch(client):
        fail("CLIENT must be 1 to 64 characters of a-z, 0-9, _ and -", 2)
    settings = load()
    scopes = tuple(dict.fromkeys(scope or DEFAULT_SCOPES))
    secret_keys = secret_keys_of(settings)
    work = create_key(settings.connection, client, scopes, now_text(), secret_keys, operator())
    record, key = run(work, settings.connection)
    if as_json:
        shown = {"client_id": client, "key_id": record.key_id, "api_key": key, "scopes": list(scopes)}
        print(json.dumps(shown))
        return
    print(f"{key}\nfor {client}, key id {record.key_id}, scopes {', '.join(scopes)}; it is not shown again")


@keys.command(name="list")
def show(*, as_json: Json = False) -> None:
    """List all keys, without their secrets; an unsigned one opens nothing."""
    from red_stats.kafka.api_keys import read_keyring
    from red_stats.settings import load

    settings = load()
    keyring = run(read_keyring(settings.connection, secret_keys_of(settings)), settings.connection)
    known = keyring.unsigned | keyring.records
    records = sorted(known.values(), key=lambda record: record.created_at)
    if as_json:
        print(json.dumps([_public(r) | {"signed": r.key_id in keyring.records} for r in records]))
        return
    for record in records:
        state = f"revoked {record.revoked_at}" if record.revoked_at else "active"
        state = state if record.key_id in keyring.records else "unsigned"
        print(f"{record.key_id:<14} {record.client_id:<24} {','.join(record.scopes):<40} {state}")


@keys.command
def revoke(key_id: str, /, *, as_json: Json = False) -> None:
    """Revoke a key; it is refused everywhere within a second."""
    from red_stats.kafka.api_keys import NoSuchKey, revoke_key
    from red_stats.settings import load

    settings = load()
    secret_keys = secret_keys_of(settings)
    try:
        work = revoke_key(settings.connection, key_id, now_text(), secret_keys, operator())
        record = run(work, settings.connection)
    except NoSuchKey as error:
        fail(str(error))
    print(json.dumps(_public(record)) if as_json else f"revoked {record.key_id} of {record.client_id}")


@keys.command
def sign(*key_ids: str) -> None:
    """Sign key records with the secret key in use: those from before keys were signed, or after a rotation.

    Look at `red-stats keys list` first: whoever could write to the topic may have put an unsigned one there.
    """
    from red_stats.kafka.api_keys import NoSuchKey, sign_keys
    from red_stats.settings import load

    if not key_ids:
        fail("name the ids of the keys to sign: see `red-stats keys list`", 2)
    settings = load()
    secret_keys = secret_keys_of(settings)
    try:
        work = sign_keys(settings.connection, key_ids, now_text(), secret_keys, operator())
        records = run(work, settings.connection)
    except NoSuchKey as error:
        fail(str(error))
    for record in records:
        print(f"signed {record.key_id} of {record.client_id}, scopes {', '.join(record.scopes)}")


def _public(record: KeyRecord) -> dict[str, object]:
    return {
        "key_id": record.key_id,
        "client_id": record.client_id,
        "scopes": list(record.scopes),
        "created_at": record.created_at,
        "revoked_at": record.revoked_at,
    }
