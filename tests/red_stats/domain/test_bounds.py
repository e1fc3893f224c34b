from datetime import datetime
from typing import Annotated

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from red_common.events import InvalidEvent
from red_stats.domain.bounds import moment_ms
from red_stats.domain.measurements import LAST_MS, rfc3339_of, to_ms

WRITTEN = st.integers(0, LAST_MS).map(rfc3339_of)
ODD = st.tuples(WRITTEN, st.integers(0, 23), st.sampled_from("0T9:Zz.+- ٣")).map(
    lambda one: one[0][: one[1]] + one[2] + one[0][one[1] + 1 :]
)
ZONES = st.tuples(WRITTEN, st.sampled_from(["+00:00", "-00:00", "+05:30", "-12:00", ""])).map(
    lambda one: one[0][:-1] + one[1]
)


def plainly(text):
    """What the library alone makes of a time; None where it is refused."""
    try:
        found = to_ms(msgspec.convert(text, Annotated[datetime, msgspec.Meta(tz=True)]))
    except (msgspec.MsgspecError, OverflowError):
        return None
    return found if 0 <= found <= LAST_MS else None


@given(st.one_of(WRITTEN, ODD, ZONES, st.text(max_size=30)))
def test_a_text_is_the_time_that_the_library_reads_in_it(text):
    try:
        found = moment_ms(text)
    except InvalidEvent:
        found = None

    assert found == plainly(text)


def test_a_time_that_was_read_is_known(monkeypatch):
    moment_ms("2026-11-25T02:25:47.707Z")
    monkeypatch.delattr(msgspec, "convert")

    assert moment_ms("2026-11-25T02:25:47.707Z") == 1_795_573_547_707
