import pytest
from hypothesis import given
from hypothesis import strategies as st

from red_common.events import InvalidEvent, decode, encode, rfc3339, to_basis_points
from red_stats.domain.measurements import BatchReader, Measurement, from_ms, rfc3339_of, to_ms, validator
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
    [reading], dead = BatchReader(3, 4).read_all([measured(CLIENT, bp / 10000)], -1)

    assert (reading.red_bp, dead) == (bp, [])


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
    good, dead = BatchReader(3, 4).read_all([record, measured(CLIENT, offset=1)], -1)

    assert len(good) == 1
    assert why.lower() in dead[0].reason.lower()


def test_a_zone_is_honoured():
    record = a_record(
        a_measurement(CLIENT, measured_at="2026-11-24T10:00:00.5+02:00"), key=CLIENT.encode(),
        at=1_795_507_200_500,
    )  # fmt: skip

    assert validator(3, 4)(record)[1] == 1_795_507_200_500


oddities = {
    "red": st.sampled_from([0, 0.5, 1, 0.00001, 1.0001, -0.1, "1", None, 1e300, 0.3333, 0.99995]),
    "client_id": st.sampled_from([CLIENT, a_client_of(2), "UPPER", "", 7]),
    "measured_at": st.sampled_from(
        [
            "2026-11-24T10:00:00Z", "2026-11-24T10:00:00.123+02:00", "1969-12-31T23:59:59.999Z", "x",
            "1970-01-01T00:00:00Z", "9999-12-31T23:59:59.999Z", "2026-11-24T10:00:00", "0001-01-01T00:00:00Z",
            "2026-11-24T10:00:07.123Z", "2026-11-24T10:00:60.000Z", "2026-11-24t10:00:07.123z",
            "2026-11-24 10:00:07.123Z", "2026-13-24T10:00:07.123Z", "1970-01-01T00:00:07.123Z",
            "1969-12-31T23:59:07.123Z", "2026-11-24T10:00:07.1234Z", "2026-11-24T10:01:07.123+00:00",
        ]
    ),
    "image_id": st.sampled_from(["i", "", "i" * 201, None]),
    "width": st.sampled_from([0, -1, "w", 1 << 63]),
}  # fmt: skip


def verdict(record):
    """By the full check: the reading, or why there is none."""
    try:
        event, at = validator(3, 4)(record)
    except InvalidEvent as error:
        return str(error)
    bp = to_basis_points(event.red)
    return Measurement(record.offset, event.client_id, at, bp, record.timestamp, event.image_id)


@given(
    st.lists(
        st.tuples(
            st.fixed_dictionaries({}, optional=oddities),
            st.sampled_from([CLIENT.encode(), b"other", None]),
            st.sampled_from([0, NOW, 1_795_507_200_000]),
        ),
        max_size=8,
    )
)
def test_the_glance_at_a_record_and_the_full_check_agree(odd):
    records = [
        a_record(a_measurement(changes.pop("client_id", CLIENT), **changes), offset, key, at)
        for offset, (changes, key, at) in enumerate(odd)
    ]
    reader = BatchReader(3, 4)
    reader.read_all([measured(CLIENT)], -1)  # so that its key has passed before
    reader.read_all(records, -1)  # and so have the times that are good

    good, dead = reader.read_all(records, -1)

    told = {r.offset: r for r in good} | {d.record.offset: d.reason for d in dead}
    assert told == {record.offset: verdict(record) for record in records}
    assert len(good) + len(dead) == len(records)


@given(st.integers(0, 253_402_300_799_999))
def test_times_are_written_alike_however_fast(milliseconds):
    assert rfc3339_of(milliseconds) == rfc3339(from_ms(milliseconds))


@given(st.integers(0, 253_402_300_799_999))
def test_a_time_is_the_same_number_however_it_is_read(milliseconds):
    assert to_ms(from_ms(milliseconds)) == milliseconds


def test_records_at_or_below_the_mark_are_skipped():
    records = [measured(CLIENT, offset=n) for n in (4, 5, 6)]

    assert [r.offset for r in BatchReader(3, 4).read_all(records, 5)[0]] == [6]
