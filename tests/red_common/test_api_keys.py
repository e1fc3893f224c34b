"""A key is what this installation has signed; nothing else on the topic opens anything."""

from types import SimpleNamespace

import msgspec
import pytest

from red_common.api_keys import Caller, ErasedClient, Keyring, Refused, new_key, revocation_key, signed
from red_common.secret_keys import SecretKeys

NOW, LATER = "2026-01-01T00:00:00.000Z", "2026-01-02T00:00:00.000Z"
OURS, THEIRS = SecretKeys([b"a" * 32]), SecretKeys([b"b" * 32])


def a_record(value, name=None):
    encoded = None if value is None else msgspec.json.encode(value)
    return SimpleNamespace(key=(name or value.key_id).encode(), value=encoded, offset=0)


@pytest.fixture
def made():
    return new_key("anna", ("measure",), NOW, OURS)


def opens(keyring, key):
    return isinstance(keyring.authenticate(f"Bearer {key}"), Caller)


def test_a_key_that_we_have_signed_opens_under_every_key_of_the_ring(made):
    record, key = made
    for keys in (OURS, SecretKeys([b"c" * 32, b"a" * 32])):
        keyring = Keyring(keys)
        keyring.apply(a_record(record))
        assert opens(keyring, key)
        assert keyring.ignored == 0


@pytest.mark.parametrize(
    "changes",
    [{"mac": ""}, {"mac": "\u00e9.x"}, {"scopes": ("admin",)}, {"client_id": "eve"}, {"created_at": LATER}],
)
def test_a_record_that_anybody_has_changed_or_minted_is_ignored_and_counted(made, changes):
    record, key = made
    keyring, service = Keyring(OURS, keep_unsigned=True), Keyring(OURS)
    for one in (keyring, service):
        one.apply(a_record(msgspec.structs.replace(record, **changes)))
        assert not opens(one, key)
        assert one.ignored == 1
    assert list(keyring.unsigned) == [record.key_id]
    assert not service.unsigned  # whoever writes to the topic fills no service's memory


def test_a_record_of_another_installation_changes_nothing_about_a_key(made):
    record, key = made
    keyring = Keyring(OURS)
    keyring.apply(a_record(record))
    ended = msgspec.structs.replace(record, revoked_at=LATER)
    keyring.apply(a_record(signed(ended, THEIRS)))
    keyring.apply(SimpleNamespace(key=record.key_id.encode(), value=b"{", offset=0))
    assert opens(keyring, key)
    assert keyring.ignored == 2


@pytest.mark.parametrize("removed", [False, True])
@pytest.mark.parametrize("as_compacted", [False, True])
def test_a_replayed_record_revives_no_revoked_key(made, removed, as_compacted):
    record, key = made
    ended = signed(msgspec.structs.replace(record, revoked_at=LATER), OURS)
    log = [a_record(record), a_record(ended), a_record(ended, revocation_key(record.key_id))]
    if as_compacted:  # only the last record of each key is left
        log = log[2:]
    keyring = Keyring(OURS)
    for one in [*log, *([a_record(None, record.key_id)] if removed else []), a_record(record)]:
        keyring.apply(one)
    assert not opens(keyring, key)


def test_a_signed_record_opens_nothing_under_the_name_of_another(made):
    record, key = made
    keyring = Keyring(OURS)
    keyring.apply(a_record(record, "0" * 12))
    keyring.apply(a_record(record, revocation_key(record.key_id)))
    assert not opens(keyring, key)
    assert keyring.ignored == 2


def test_a_removed_key_opens_nothing(made):
    record, key = made
    keyring = Keyring(OURS)
    keyring.apply(a_record(record))
    keyring.apply(a_record(None, record.key_id))
    assert not opens(keyring, key)


def test_a_refusal_says_why_and_names_only_keys_of_ours(made):
    record, key = made
    keyring = Keyring(OURS)
    keyring.apply(a_record(record))
    secret = key.split("_", 2)[2]
    known = ("wrong_secret", record.key_id, "anna")
    assert keyring.authenticate(None) == keyring.authenticate("") == Refused("missing")
    for header in (
        key,
        f"Basic {key}",
        f"Bearer {secret}",
        f"Bearer sk_{record.key_id}_{secret}",
        "Bearer",
        f"Bearer {key[:-1]}é",
        f"Bearer {key}\udcff\udcff",
        "Bearer \udcff",
    ):
        assert keyring.authenticate(header) == Refused("malformed")
    for header in (f"Bearer red_{secret}", f"Bearer red_{secret}_x", "Bearer red_"):
        assert keyring.authenticate(header) == Refused("unknown")
    assert keyring.authenticate(f"Bearer {key}x") == Refused(*known)
    keyring.apply(a_record(signed(msgspec.structs.replace(record, revoked_at=LATER), OURS)))
    assert keyring.authenticate(f"Bearer {key}") == Refused("revoked", *known[1:])
    assert keyring.authenticate(f"Bearer {key}x") == Refused(*known)


def an_erasure(client_id="anna", at=LATER, keys=OURS, name=None):
    return a_record(
        ErasedClient(client_id=client_id, erased_at=at).signed(keys), name or f"erased/{client_id}"
    )


def test_the_keys_of_an_erased_client_open_nothing_in_whatever_order_they_are_read(made):
    record, key = made
    for records in ([a_record(record), an_erasure()], [an_erasure(), a_record(record)]):
        keyring = Keyring(OURS, keep_unsigned=True)
        for one in records:
            keyring.apply(one)
        assert not opens(keyring, key)
        assert not keyring.records | keyring.unsigned
        assert keyring.erased == {"anna": LATER}


def test_a_key_made_after_its_client_was_erased_opens():
    record, key = new_key("anna", ("measure",), LATER, OURS)
    keyring = Keyring(OURS)
    for one in (an_erasure(at=NOW), a_record(record), an_erasure(at=NOW)):
        keyring.apply(one)
    assert opens(keyring, key)


def test_keys_of_others_are_left_alone(made):
    record, key = made
    keyring = Keyring(OURS)
    for one in (a_record(record), an_erasure("bert")):
        keyring.apply(one)
    assert opens(keyring, key)


@pytest.mark.parametrize(
    "erasure",
    [
        an_erasure(keys=THEIRS),
        an_erasure(name="erased/bert"),
        *[
            an_erasure(at=at)
            for at in (
                "",
                "soon",
                "9999",
                "2026-13-01T00:00:00.000Z",
                "2026-01-02",
                "2026-01-02T00:00:00.000",
                "2026-01-02T01:00:00.000+01:00",
                "zzzz\u00e9",
                "0001-01-01T00:00:00.000+23:59",
            )
        ],
        a_record({"client_id": "anna", "erased_at": LATER}, "erased/anna"),
        SimpleNamespace(key=b"erased/anna", value=b"{", offset=0),
        SimpleNamespace(key=b"erased/anna", value=None, offset=0),
    ],
)
def test_nobody_else_can_erase_a_client_nor_make_it_unerased(made, erasure):
    record, key = made
    keyring = Keyring(OURS)
    keyring.apply(a_record(record))
    keyring.apply(erasure)
    assert opens(keyring, key)

    keyring.apply(an_erasure())
    keyring.apply(erasure)
    keyring.apply(a_record(record))
    assert not opens(keyring, key)


def test_a_key_made_at_no_time_ends_with_its_client_and_no_sooner(made):
    record, key = made
    odd = a_record(signed(msgspec.structs.replace(record, created_at="zzz"), OURS))
    keyring = Keyring(OURS)
    keyring.apply(odd)
    assert opens(keyring, key)

    for one in (an_erasure(), odd):
        keyring.apply(one)
        assert not opens(keyring, key)
