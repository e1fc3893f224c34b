"""Dead letters have all bytes of a record, or tell how many there were; they always fit into their topic."""

import base64
import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from red_common.events import InvalidEvent
from red_stats.domain.dead_letters import KEPT, MAX_RECORD, dead_letter, refuse_oversize, shortened
from red_stats.topics import DEAD_LETTERS, Topic
from tests.builders import a_record

LARGEST_CUT = 200_000  # bytes of any cut letter


def told(out):
    return json.loads(out[2])


@given(st.none() | st.binary(max_size=50), st.none() | st.binary(max_size=50))
def test_a_letter_has_every_byte_of_a_record(key, value):
    topic, letter_key, content = dead_letter(Topic("t"), 1, a_record(value, 7, key), "why")

    raw = [None if one is None else base64.b64encode(one).decode() for one in (key, value)]
    assert (topic, letter_key) == (DEAD_LETTERS, key)
    assert json.loads(content) == {
        "topic": "t", "partition": 1, "offset": 7, "reason": "why", "key_base64": raw[0],
        "value_base64": raw[1],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"key", b"v" * MAX_RECORD),
        (b"k" * MAX_RECORD, b"v"),
        (b"k" * (MAX_RECORD + 1), None),
        (None, b"v" * (60 << 20)),
    ],
)
def test_of_a_record_that_is_too_large_a_letter_has_the_beginning_the_size_and_the_hash(key, value):
    with pytest.raises(InvalidEvent, match="bytes"):
        refuse_oversize(key, value)

    _, letter_key, content = out = dead_letter("t", 1, a_record(value, 7, key), "r" * 10_000)

    assert len(content) + len(letter_key or b"") < LARGEST_CUT + KEPT
    letter = told(out)
    assert base64.b64decode(letter["value_base64"] or "") == (value or b"")[:KEPT]
    assert base64.b64decode(letter["key_base64"] or "") == (key or b"")[:KEPT]
    assert letter["size"] == len(key or b"") + len(value or b"")
    assert letter["sha256"] == hashlib.sha256(value or b"").hexdigest()
    assert len(letter["reason"]) < 510
    assert shortened(out) == out


def test_a_record_of_exactly_the_limit_is_read():
    refuse_oversize(b"k", b"v" * (MAX_RECORD - 1))

    assert "size" not in told(dead_letter("t", 1, a_record(b"v" * (MAX_RECORD - 1), 7, b"k"), "why"))


def test_a_letter_that_its_topic_refuses_is_cut_and_nothing_else_is():
    value = bytes(range(256)) * 2000
    whole = dead_letter("t", 1, a_record(value, 7, b"k" * 100_000), "why")
    other = ("another topic", b"k", b"v" * 900_000)

    topic, key, content = cut = shortened(whole)

    assert (topic, key) == (DEAD_LETTERS, b"k" * KEPT)
    letter = told(cut)
    assert (letter["size"], letter["sha256"]) == (612_000, hashlib.sha256(value).hexdigest())
    assert base64.b64decode(letter["value_base64"]) == value[:KEPT]
    assert len(content) < LARGEST_CUT
    assert shortened(other) == other
