"""Columns of measurements: the same judgement and the same values as reading one record at a time."""

import random
from datetime import UTC, datetime

import msgspec
import pytest

from red_common.events import InvalidEvent, to_basis_points
from red_common.kafka.partitioner import partition_of
from red_stats.domain.column_batch import MeasurementReader
from red_stats.domain.measurements import validator
from red_stats.domain.recorded_tables import MEASUREMENTS

PARTITIONS = 4
HOME = partition_of("a", PARTITIONS)
NOW = int(datetime(2026, 11, 25, 2, 26, tzinfo=UTC).timestamp() * 1000)


class Record:
    def __init__(self, offset, key, value, timestamp=NOW):
        self.offset, self.key, self.value, self.timestamp = offset, key, value, timestamp


def an_event(**changes):
    fields = {"image_id": "i", "client_id": "a", "measured_at": "2026-11-25T02:25:47.707Z", "red": 0.1234}
    return msgspec.json.encode(fields | changes)


ODD = [
    an_event(red=0.12345),
    an_event(red=1.5),
    an_event(image_id=""),
    an_event(client_id="b"),
    an_event(client_id="A"),
    an_event(measured_at="1969-12-31T23:59:59.999Z"),
    an_event(measured_at="2999-01-01T00:00:00.000Z"),
    an_event(measured_at="2026-11-25T02:25:47.707"),
    an_event(measured_at="2026-11-25T02:25:60.707Z"),
    an_event(measured_at="2026-13-25T02:25:47.707Z"),
    an_event(measured_at="2026-11-25T02:25:4７.707Z"),
    an_event(red_pixels=-1),
    an_event(width="1"),
    b"{",
    b"",
    None,
    an_event() + an_event(),
]
UNUSUAL = [
    an_event(measured_at="2026-11-25T03:25:47.707+01:00"),
    an_event(measured_at="2026-11-25t02:25:47.70765z"),
    an_event(measured_at="2026-11-25T02:25:47Z"),
    an_event(red=1, red_excess=0.98765432, red_channel=1),
    an_event(red_pixels=1 << 70, bytes=1 << 64, width=1 << 40, format="ä" * 200),
]


def one_at_a_time(record):
    event, at = validator(HOME, PARTITIONS)(record)

    def unsigned(number, bits):
        return min(number, (1 << bits) - 1)

    return (
        event.client_id, at, to_basis_points(event.red), event.image_id, unsigned(event.red_pixels, 64),
        unsigned(event.pixels, 64), round(event.red_excess * 10000), round(event.red_channel * 10000),
        unsigned(event.width, 32), unsigned(event.height, 32), event.format, unsigned(event.bytes, 64),
        event.sha256, event.rule, event.decoder,
    )  # fmt: skip


@pytest.mark.parametrize("value", ODD)
def test_what_a_single_reader_refuses_is_unreadable_here_for_the_same_reason(value):
    records = [Record(1, b"a", an_event()), Record(2, b"a", value), Record(3, b"a", an_event())]
    with pytest.raises(InvalidEvent) as refused:
        one_at_a_time(records[1])

    found = MeasurementReader(HOME, PARTITIONS)(records)

    assert (list(found.offsets), found.unreadable) == ([1, 3], [(records[1], str(refused.value))])


def test_any_mixture_gives_the_rows_of_a_single_reader():
    chance, read = random.Random(1), MeasurementReader(HOME, PARTITIONS)
    for _ in range(200):
        values = [chance.choice([an_event(), *UNUSUAL, *ODD * chance.randrange(2)]) for _ in range(8)]
        keys = [chance.choice([b"a", b"a", b"a", b"b", None]) for _ in values]
        records = [Record(n, key, value) for n, (key, value) in enumerate(zip(keys, values, strict=True))]
        rows, offsets = [], []
        for record in records:
            try:
                rows.append(one_at_a_time(record))
            except InvalidEvent:
                continue
            offsets.append(record.offset)

        cuts = [read(records[:3]), read(records[3:])]

        assert [row for cut in cuts for row in zip(*cut.columns, strict=True)] == rows
        assert [offset for cut in cuts for offset in cut.offsets] == offsets
        assert {len(cut.columns) for cut in cuts} == {len(MEASUREMENTS.columns)}
        assert sum(len(cut.unreadable) for cut in cuts) + len(offsets) == len(records)


def test_a_future_time_is_refused_by_its_own_kafka_time():
    late = an_event(measured_at="2026-11-25T02:25:47.707Z")
    at = one_at_a_time(Record(0, b"a", late, 1 << 50))[1]
    records = [Record(0, b"a", late, at - 300_000), Record(1, b"a", late, at - 300_001)]

    found = MeasurementReader(HOME, PARTITIONS)(records)

    assert list(found.offsets) == [0]
