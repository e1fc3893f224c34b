import pytest
from hypothesis import given
from hypothesis import strategies as st

from red_stats.domain.alerts import AlertSequence
from red_stats.tables.alert_sequences import SequenceRows, encode

NAME = b"4d7c1f0e-0000-4000-8000-000000000001"
sequences = st.builds(AlertSequence, st.integers(0, 1 << 63), st.none() | st.integers(0, 1 << 63))


@given(sequences)
def test_a_row_is_read_as_it_was_written(sequence):
    rows = SequenceRows()
    rows.load(NAME, encode(sequence))
    assert rows == {NAME.decode(): sequence}
    assert rows.encoded() == {NAME: encode(sequence)}


def test_a_row_from_before_triggers_is_armed():
    rows = SequenceRows()
    rows.load(NAME, b"41")
    assert rows == {NAME.decode(): AlertSequence(41)}


@pytest.mark.parametrize("value", [b"", b"1 ", b" 1", b"1 2 3", b"x", b"1 x"])
def test_what_is_no_row_of_ours_changes_nothing(value):
    rows = SequenceRows()
    rows.load(NAME, b"7")
    with pytest.raises(ValueError, match="invalid literal"):
        rows.load(NAME, value)
    assert rows == {NAME.decode(): AlertSequence(7)}
