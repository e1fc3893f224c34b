"""What ends the keys of a client that is erased."""

from types import SimpleNamespace

import msgspec
import pytest

from red_common.api_keys import Keyring, new_key, revocation_key, signed
from red_stats.kafka.api_keys import ending
from tests.services import SECRET_KEYS as KEYS

MADE, NOW, LATER = (f"2026-01-0{day}T00:00:00.000Z" for day in (1, 2, 3))


def a_keyring(*records):
    keyring = Keyring(KEYS, keep_unsigned=True)
    for record in records:
        keyring.apply(
            SimpleNamespace(key=record.key_id.encode(), value=msgspec.json.encode(record), offset=0)
        )
    return keyring


def a_key(client_id="anna", at=MADE, **fields):
    record, _ = new_key(client_id, ("measure",), at, KEYS)
    return signed(msgspec.structs.replace(record, **fields), KEYS)


def a_forged_one(**fields):
    return msgspec.structs.replace(a_key(), mac="", **fields)


@pytest.mark.parametrize(("made", "at"), [(MADE, NOW), (LATER, LATER)])
def test_every_key_of_the_client_ends_as_if_made_before_and_no_key_of_another(made, at):
    first, second, other = a_key(at=made), a_key(revoked_at=MADE), a_key("bert")

    count, records = ending(a_keyring(first, second, other), "anna", NOW, KEYS)

    erased = records["erased/anna"]
    assert (count, erased.erased_at) == (2, at)
    assert KEYS.has_signed("erased/", erased.signed_bytes, erased.mac)
    ended = {name for one in (first, second) for name in (one.key_id, revocation_key(one.key_id))}
    assert {name: value for name, value in records.items() if name != "erased/anna"} == dict.fromkeys(ended)


@pytest.mark.parametrize("forged", ["9999-12-31T23:59:59.999Z", "zzz", ""])
def test_what_anybody_has_written_goes_and_sets_no_time_of_ours(forged):
    real, odd = a_key(), a_forged_one(created_at=forged)

    count, records = ending(a_keyring(real, odd), "anna", NOW, KEYS)

    assert (count, records["erased/anna"].erased_at) == (1, NOW)
    assert records[odd.key_id] is None


def test_a_forged_record_under_the_id_of_anothers_key_ends_nothing_of_it():
    theirs = a_key("bert")

    count, records = ending(a_keyring(theirs, a_forged_one(key_id=theirs.key_id)), "anna", NOW, KEYS)

    assert (count, set(records)) == (0, {"erased/anna"})


def test_a_key_that_was_signed_with_no_time_keeps_no_client_from_being_erased():
    keyring = a_keyring(a_key(created_at="zzz"))

    _, records = ending(keyring, "anna", NOW, KEYS)

    value = msgspec.json.encode(records["erased/anna"])
    keyring.apply(SimpleNamespace(key=b"erased/anna", value=value, offset=1))
    assert (keyring.erased, keyring.records) == ({"anna": NOW}, {})
