"""Windows as their changelog has them: what somebody else has written there is no window."""

from red_stats.domain.windows import EMPTY, Window, encode
from red_stats.tables.windows import WindowRows

ONE, OTHER = WindowRows.key("anna", 100), WindowRows.key("anna", 101)
WINDOW = Window(1, 5, b"\x05")


def loaded(**values):
    rows = WindowRows()
    rows.load(ONE, values["one"])
    rows.load(OTHER, values["other"])
    return rows


def test_an_unreadable_value_is_no_window_and_hides_no_other():
    rows = loaded(one=encode(WINDOW), other=b"\xc1 no window")

    assert rows.of("anna", 0, 200) == {100: WINDOW}
    assert rows.images_of("anna") == {100: 1, 101: 0}
    assert rows.window(OTHER) == EMPTY
    assert dict(rows.items()) == {("anna", 100): WINDOW}


def test_the_windows_of_a_client_come_in_order_within_both_ends():
    rows = loaded(one=encode(WINDOW), other=encode(Window(2, 9, b"\x05\x06")))
    rows.load(WindowRows.key("anna", 99), encode(WINDOW))
    rows.load(WindowRows.key("eve", 100), encode(WINDOW))

    assert list(rows.of("anna", 99, 100)) == [99, 100]
    assert list(rows.of("anna", 101, 200)) == [101]
    assert rows.images_of("anna") == {99: 1, 100: 1, 101: 2}


def test_a_window_that_expired_leaves_and_its_minute_with_it():
    rows = loaded(one=encode(WINDOW), other=encode(WINDOW))

    expired = rows.expired(horizon=101 * 60_000 + 10, retention_ms=0)
    assert expired == [ONE]
    rows.drop(expired)
    assert rows.expired(horizon=101 * 60_000 + 10, retention_ms=0) == []
    assert (list(rows), len(rows)) == ([OTHER], 1)
