"""Native blocks as the engine reads them back."""

from array import array

import pytest

from red_stats.store.native_format import pieces

TEXTS = ["", "a", "ä", "b" * 127, "c" * 128, "d" * 20_000, "e\0\n\\'", "😀"]


@pytest.fixture(scope="module")
def store(store):
    """A store with a table of every kind of column."""
    store.command(
        "CREATE TABLE red.kinds (place UInt32, text String, few LowCardinality(String), small UInt16,"
        " large UInt64, at DateTime64(3, 'UTC')) ENGINE = MergeTree ORDER BY place"
    )
    return store


@pytest.mark.parametrize("texts", [TEXTS, ["x" * 36, "y" * 36], ["ä", "b" * 2], ["x" * 200] * 3, [""] * 2])
def test_what_is_sent_is_what_is_stored(store, texts):
    count = len(texts)
    names = ("place", "text", "few", "small", "large", "at")
    first = [list(range(count)), texts, texts, [65_535] * count, array("Q", [2**64 - 1]) * count, [1] * count]
    marker = [[count], [""], [""], [0], [0], [1_795_677_631_615]]
    store.command("TRUNCATE TABLE red.kinds")

    store.insert("kinds", names, [first, marker], repr(texts))

    rows = store.query(
        "SELECT place, text, few, small, large, toUnixTimestamp64Milli(at) FROM red.kinds ORDER BY place"
    )
    wanted = [(n, text, text, 65_535, 2**64 - 1, 1) for n, text in enumerate(texts)]
    assert rows == [*wanted, (count, "", "", 0, 0, 1_795_677_631_615)]


def test_what_does_not_fit_or_is_not_known_is_refused():
    with pytest.raises(OverflowError):
        list(pieces(["n"], {"n": "UInt16"}, [[[65_536]]]))
    with pytest.raises(KeyError):
        list(pieces(["n"], {"n": "Float64"}, [[[1.5]]]))


def test_what_does_not_fit_is_no_error_of_the_store_which_would_be_tried_again_for_ever(store):
    with pytest.raises(OverflowError):
        store.insert("kinds", ("small",), [[[65_536]]], "too large")
    with pytest.raises(KeyError):
        store.insert("kinds", ("unknown",), [[[1]]], "unknown")
