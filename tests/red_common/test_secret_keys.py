"""The secret keys: where they come from, and that a rotation forgets none."""

import pytest

from red_common.secret_keys import KEY_FILE, SecretKeyError, SecretKeys, load_keys, rotate

A, B = "aa" * 32, "bb" * 32


def test_the_first_configured_key_is_in_use_and_all_verify(tmp_path):
    old, ring = load_keys(tmp_path, B), load_keys(tmp_path, f"{A}, {B}")
    assert ring.current == bytes.fromhex(A)
    assert ring.has_signed("x", b"said", old.sign("x", b"said"))
    assert not old.has_signed("x", b"said", ring.sign("x", b"said"))
    assert not ring.has_signed("y", b"said", ring.sign("x", b"said"))
    assert not ring.has_signed("x", b"Said", ring.sign("x", b"said"))


def test_a_rotation_puts_a_new_key_in_front_and_keeps_the_others(tmp_path):
    first = load_keys(tmp_path, None, create=True)
    second = rotate(tmp_path)
    third = rotate(tmp_path)
    assert first.ids < second.ids < third.ids
    assert len({first.current_id, second.current_id, third.current_id}) == 3
    assert load_keys(tmp_path, None, create=True).ids == third.ids
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", ["", "\n", "ab", A[:-2], f"{A}\nzz", f"{A}{B}"])
def test_what_is_no_key_is_an_error_that_names_the_file(tmp_path, text):
    (tmp_path / KEY_FILE).write_text(text)
    with pytest.raises(SecretKeyError, match=r"secret\.key must be 64 hex digits"):
        load_keys(tmp_path, None)


def test_what_is_no_text_or_cannot_be_written_is_an_error_too(tmp_path, monkeypatch):
    (tmp_path / KEY_FILE).write_bytes(b"\xff" * 64)
    with pytest.raises(SecretKeyError, match="cannot be read"):
        load_keys(tmp_path, None)
    (tmp_path / KEY_FILE).write_text(A)

    def full(path, text):
        raise OSError("no room")

    monkeypatch.setattr("red_common.private_files.write", full)
    with pytest.raises(SecretKeyError, match="cannot be written"):
        rotate(tmp_path)
    assert load_keys(tmp_path, None).all == (bytes.fromhex(A),)


def test_without_a_file_and_a_setting_it_is_said_what_to_do(tmp_path):
    for work in (lambda: load_keys(tmp_path, None), lambda: rotate(tmp_path)):
        with pytest.raises(SecretKeyError, match="is missing: restore it or set RED_SECRET_KEY"):
            work()


def test_a_key_does_not_show_where_keys_are_printed():
    assert A not in repr(SecretKeys([bytes.fromhex(A)]))
