import pytest
from hypothesis import given
from hypothesis import strategies as st

from red_service.events import InvalidEvent, decode, encode
from red_stats.domain.reading import read_all, reader
from tests.builders import NOW, a_client_of, a_measurement, a_record, measured

CLIENT = a_client_of(3)


@given(st.binary() | st.none())
def test_any_bytes_give_an_event_or_one_error(value):
    try:
        event = decode(value)
    except InvalidEvent:
        return
    assert decode(encode(event)) == event


@pytest.mark.parametrize("bp", [0, 1, 33, 1234, 2900, 5699, 9999, 10000])
def test_basis_points_are_exact(bp):
    assert reader(3, 4)(measured(CLIENT, bp / 10000)).red_bp == bp


@pytest.mark.parametrize(
    ("record", "why"),
    [
        (measured(CLIENT, 0.12345), "four decimals"),
        (measured(CLIENT, 1.1), "1.0"),
        (measured(CLIENT, -0.1), "0.0"),
        (a_record(b"{", key=b"x"), "truncated"),
        (a_record(None, key=b"x"), "no value"),
        (a_record(a_measurement("UPPER"), key=b"UPPER"), "client_id"),
        (a_record(a_measurement(CLIENT), key=b"other"), "key"),
        (a_record(a_measurement(CLIENT), key=None), "key"),
        (measured(a_client_of(2)), "murmur2"),
        (measured(CLIENT, at=NOW + 300_001, logged_at=NOW), "5 minutes"),
        (a_record(a_measurement(CLIENT, measured_at="1969-12-31T23:59:59.999Z"),
                  key=CLIENT.encode()), "1970"),
        (a_record(a_measurement(CLIENT, measured_at="2026-11-24T10:00:00"),
                  key=CLIENT.encode()), "timezone"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_says_why(record, why):
    good, dead = read_all(reader(3, 4), [record, measured(CLIENT, offset=1)], -1)

    assert len(good) == 1
    assert why.lower() in dead[0].reason.lower()


def test_a_zone_is_honoured():
    record = a_record(
        a_measurement(CLIENT, measured_at="2026-11-24T10:00:00.5+02:00"), key=CLIENT.encode(),
        at=1_795_507_200_500,
    )  # fmt: skip

    assert reader(3, 4)(record).at == 1_795_507_200_500


def test_records_at_or_below_the_mark_are_skipped():
    records = [measured(CLIENT, offset=n) for n in (4, 5, 6)]

    assert [r.offset for r in read_all(reader(3, 4), records, 5)[0]] == [6]
