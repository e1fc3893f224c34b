"""The scanner in C takes nothing that the careful reader would not take with the same numbers."""

import random
import shutil
from types import SimpleNamespace

import orjson
import pytest
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from hypothesis import given
from hypothesis import strategies as st

from red_common import c_library
from red_common.kafka.partitioner import partition_of
from red_stats.domain.column_batch import MeasurementReader
from red_stats.domain.dead_letters import MAX_RECORD
from red_stats.domain.measurement_columns import joined
from red_stats.domain.measurements import BatchReader
from red_stats.domain.record_batches import RecordBatch, records_of
from red_stats.domain.recorded_tables import MEASUREMENTS
from red_stats.kafka import scanner
from red_stats.kafka.scanner import LogReader, Scanner
from red_stats.store import native_format
from tests.builders import NOW, a_client_of, a_measurement

HOME, PARTITIONS = 3, 4
CLIENTS = [a_client_of(HOME, prefix=prefix) for prefix in ("anna", "b-", "c_" * 20)]
DESCRIPTION = {
    "red_pixels": 12, "pixels": 1 << 50, "red_excess": 0.25, "red_channel": 1, "width": 1 << 40,
    "height": 7, "format": "jpeg", "bytes": 999_999_999_999_999_999, "sha256": "ab" * 200, "rule": "red-1",
    "decoder": "d" * 127,
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def built():
    c_library.build(scanner.SOURCE)
    assert scanner.load() is not None


def a_chunk(records, base=0, logged_at=NOW, codec=0, headers=()):
    """`records` are keys and values, as one record batch of the log."""
    builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, -1, 1 << 30)
    for number, (key, value) in enumerate(records):
        builder.append(number, logged_at + number, key, value, list(headers))
    return chunk_of(bytes(builder.build()), base)


def chunk_of(content, base=0):
    content = base.to_bytes(8, "big") + content[8:]
    batch = DefaultRecordBatch(content)
    attributes = ("base_offset", "next_offset", "max_timestamp")
    told = {name: getattr(batch, name) for name in attributes}

    class PackedFetches(SimpleNamespace):
        def __iter__(self):
            return iter(list(DefaultRecordBatch(content)))

    return RecordBatch(PackedFetches(content=memoryview(content), **told))


def usual(number, client=CLIENTS[0], **changes):
    fields = {"image_id": f"image {number}", "red": number % 10_001 / 10_000} | changes
    return client.encode(), a_measurement(client, fields.pop("red"), **fields)


def slowly(batches, since=0):
    return BatchReader(HOME, PARTITIONS).read_all(records_of(batches, since), -1)


def quickly(batches, since=0):
    """What the scanner alone takes, or None."""
    clients = LogReader(PARTITIONS, None)._clients_of(HOME)
    found = scanner.load().readings(batches, since, clients.__getitem__)
    return None if found is None else found.taken(range(len(found)))


def described(columns):
    """A block of the table's columns as the engine gets it."""
    types = {
        "String": ("client_id", "image_id", "format", "sha256", "rule", "decoder"), "Int64": ("measured_at",),
        "UInt16": ("red_bp", "red_excess_bp", "red_channel_bp"), "UInt32": ("width", "height"),
        "UInt64": ("red_pixels", "pixels", "bytes"),
    }  # fmt: skip
    names = {name: kind for kind, names in types.items() for name in names}
    return b"".join(native_format.pieces(MEASUREMENTS.columns, names, [columns]))


@pytest.mark.parametrize("codec", [0, 1, 2, 3, 4])
def test_what_is_usual_is_taken_whatever_it_is_compressed_with(codec):
    events = [usual(n, CLIENTS[n % 3], at=NOW - n * 977) for n in range(1000)]
    headers = [("traceparent", b"00-1"), ("ä", None)]
    batches = [
        a_chunk(events[:600], 7, codec=codec, headers=headers),
        a_chunk(events[600:], 700, codec=codec),
    ]

    assert quickly(batches) == slowly(batches)[0]
    assert len(quickly(batches)) == 1000


def test_any_number_of_clients_keep_their_names():
    names = [f"{prefix}{n}" for n in range(3000) for prefix in ("a", "b" * 60)]
    ours = [name for name in names if partition_of(name, PARTITIONS) == HOME]
    batches = [a_chunk([usual(n, client) for n, client in enumerate([*ours, *reversed(ours)])])]

    assert quickly(batches) == slowly(batches)[0]


def test_names_that_begin_alike_are_told_apart():
    names = [str(number) for number in reversed(range(20_000))]  # the shorter ones last
    chunk = a_chunk([usual(0, name) for name in names])

    found = scanner.load().readings([chunk], 0, bytes.decode)

    assert [found.clients[number] for number in found.client] == names


REFUSED = {
    "red above 1": usual(0, red=1.0001),
    "far above 1": usual(0, red=1.5),
    "another client's key": (CLIENTS[1].encode(), usual(0, CLIENTS[0])[1]),
    "a key of the same length": (b"anna-2", usual(0, "anna-1")[1]),
    "from the future": usual(0, at=NOW + 300_001),
    "before 1970": usual(0, measured_at="1969-12-31T23:59:59.999Z"),
    "no leap year": usual(0, measured_at="2026-02-29T00:00:00.000Z"),
    "no leap year of its century": usual(0, measured_at="2100-02-29T00:00:00.000Z"),
    "the 31st of a short month": usual(0, measured_at="2026-04-31T00:00:00.000Z"),
    "the 31st of February": usual(0, measured_at="2024-02-30T00:00:00.000Z"),
    "hour 24": usual(0, measured_at="2026-04-30T24:00:00.000Z"),
    "second 60": usual(0, measured_at="2026-04-30T23:59:60.000Z"),
    "month 13": usual(0, measured_at="2026-13-30T23:59:00.000Z"),
    "month 0": usual(0, measured_at="2026-00-30T23:59:00.000Z"),
    "no time with a zone": usual(0, measured_at="2026-04-30T23:59:00.000+"),
    "a field twice": (CLIENTS[0].encode(), usual(0)[1].replace(b"{", b'{"red":0.5,')),
    "two objects": (CLIENTS[0].encode(), usual(0)[1] * 2),
    "no red": (CLIENTS[0].encode(), usual(0)[1].replace(b',"red":0.0', b"")),
    "no time": (CLIENTS[0].encode(), b'{"image_id":"i","client_id":"%b","red":0.5}' % CLIENTS[0].encode()),
    "a control character": (CLIENTS[0].encode(), usual(0)[1].replace(b"image 0", b"im\x01ge 0")),
    "a leading zero": (CLIENTS[0].encode(), usual(0, width=7)[1].replace(b"7", b"07")),
    "19 digits": usual(0, pixels=10**18),
}


@pytest.mark.parametrize("record", REFUSED.values(), ids=REFUSED)
def test_what_is_nearly_usual_is_left_to_the_careful_reader(record):
    batches = [a_chunk([record], logged_at=max(NOW, record[1].count(b"2100-") * 5_000_000_000_000))]

    found = scanner.load().readings(batches, 0, bytes.decode)

    assert found is None


@pytest.mark.parametrize(
    "moment",
    [
        "1970-01-01T00:00:00.000Z", "2024-02-29T23:59:59.999Z", "2000-02-29T00:00:00.000Z",
        "2026-02-28T23:59:59.999Z", "2026-03-01T00:00:00.000Z", "2026-12-31T23:59:59.999Z",
        "2100-02-28T12:00:00.001Z", "2100-03-01T00:00:00.000Z", "9999-12-31T23:59:59.999Z",
    ],
)  # fmt: skip
def test_the_ends_of_months_are_taken_as_they_are(moment):
    batches = [a_chunk([usual(0, measured_at=moment)], logged_at=1 << 50)]

    assert quickly(batches) == slowly(batches)[0]
    assert len(quickly(batches)) == 1


def test_the_brokers_time_is_that_of_every_record_of_its_batch():
    content = bytearray(a_chunk([usual(n) for n in range(20)]).content)
    content[22] |= 8  # LogAppendTime
    batches = [chunk_of(bytes(content))]

    assert quickly(batches) == slowly(batches)[0]
    assert {reading.logged_at for reading in quickly(batches)} == {NOW + 19}


def test_control_records_are_no_measurements():
    content = bytearray(a_chunk([usual(0)]).content)
    content[22] |= 0x20
    chunk = SimpleNamespace(content=memoryview(bytes(content)), start=0, size=1)

    assert scanner.load().readings([chunk], 0, bytes.decode) is None


def test_a_batch_of_an_older_format_is_left_to_aiokafka():
    content = bytearray(a_chunk([usual(0)]).content)
    content[16] = 1
    chunk = SimpleNamespace(content=memoryview(bytes(content)), start=0, size=1)

    assert scanner.load().readings([chunk], 0, bytes.decode) is None


def test_every_column_is_as_the_careful_reader_makes_it():
    odd = {"sha256": "x" * 20_000, "decoder": "", "red_channel": 0.9999}
    events = [usual(n, CLIENTS[n % 3], **[DESCRIPTION, {}, odd][n % 3]) for n in range(99)]
    batches = [a_chunk(events[:50]), a_chunk(events[50:], 50)]
    slow = MeasurementReader(HOME, PARTITIONS)(records_of(batches, 20))

    fast = LogReader(PARTITIONS, scanner.load()).columns(HOME, batches, 20)

    assert described(fast.columns) == described(slow.columns)
    assert (fast.offsets, fast.unreadable, fast.first, fast.at, fast.last) == slow[1:]


def test_what_is_at_or_below_the_mark_is_skipped_unread():
    batches = [a_chunk([(b"x", b"no event"), *(usual(n) for n in range(40))])]

    assert [reading.offset for reading in quickly(batches, 5)] == list(range(5, 41))
    assert quickly(batches, 0) is None
    assert quickly(batches, 100) == []


def test_a_batch_with_anything_unusual_is_read_one_by_one_and_nothing_is_lost():
    for odd in [(b"other", usual(1)[1]), (None, usual(1)[1]), (b"x", None), usual(1, client="UPPER"),
                usual(1, client=a_client_of(2)), usual(1, red=0.12345), usual(1, image_id="")]:  # fmt: skip
        batches = [a_chunk([*(usual(n) for n in range(20)), odd, usual(3)])]
        good, dead = slowly(batches)

        found, unreadable = LogReader(PARTITIONS, scanner.load()).readings(HOME, batches, 0)

        assert quickly(batches) is None
        assert found.taken(range(len(found))) == good
        assert [letter.reason for letter in unreadable] == [letter.reason for letter in dead]
        assert len(good) == 21


written = st.sampled_from(
    [
        0, 1, -0.0, 0.1234, 1.0, 0.00001, 1.0001, 1e-4, "0.5", None, True, 17, -1, 1 << 63, 1 << 70, 0.5,
        "image", "", "i" * 200, "i" * 201, "ä", 'a"b', "a\\b", "\x7f", "2026-11-24T10:00:07.123Z",
        "2026-11-24T10:00:60.000Z", "2026-02-29T10:00:00.000Z", "2024-02-29T23:59:59.999Z",
        "2000-02-29T00:00:00.000Z", "2100-02-29T00:00:00.000Z", "1969-12-31T23:59:59.999Z",
        "1970-01-01T00:00:00.000Z", "2026-11-24T24:00:00.000Z", "2026-11-24T10:00:07.123z",
        "2026-11-24T10:00:07.123+00:00", "2026-00-10T10:00:00.000Z", "2026-11-31T10:00:00.000Z",
        "9999-12-31T23:59:59.999Z", CLIENTS[0], a_client_of(2), [], {},
    ]
)  # fmt: skip
members = st.dictionaries(st.sampled_from([*DESCRIPTION, *orjson.loads(usual(0)[1]), "more"]), written)
spaced = st.sampled_from([b"", b" ", b"\n\t\r ", b"\x0b", b",", b"0"])


@given(members, spaced, spaced, st.sampled_from([NOW, 4_000_000_000_000, 1 << 60]))
def test_any_event_is_taken_with_the_same_numbers_or_not_at_all(changes, before, after, logged_at):
    event = orjson.loads(usual(0, **DESCRIPTION)[1]) | {k: v for k, v in changes.items() if v != 1 << 70}
    value = before + orjson.dumps(event).replace(b'":', b'":' + before).replace(b',"', after + b',"') + after
    same([a_chunk([(CLIENTS[0].encode(), value)], logged_at=logged_at)])


@given(st.randoms(use_true_random=False), st.integers(1, 3))
def test_any_damage_of_a_value_gives_the_same_or_is_read_carefully(chance, times):
    at = chance.randrange(253_402_300_799_999)
    value = bytearray(usual(chance.randrange(10_001), at=at, **DESCRIPTION)[1])
    for _ in range(times):
        at = chance.randrange(len(value))
        value[at : at + chance.randrange(2)] = bytes(
            chance.choice(b'0123456789.eE+-"\\{}[]:, tfn\xc3\x00azAZ') for _ in range(chance.randrange(3))
        )
    same([a_chunk([(CLIENTS[0].encode(), bytes(value))], logged_at=1 << 50)])


def same(batches):
    fast = quickly(batches)
    if fast is None:
        return
    good, dead = slowly(batches)
    assert (fast, dead) == (good, [])
    found = scanner.load().columns(batches, 0, LogReader(PARTITIONS, None)._clients_of(HOME).__getitem__)
    slow = MeasurementReader(HOME, PARTITIONS)(records_of(batches, 0))
    assert described(found.columns) == described(slow.columns)


def test_most_of_the_unusual_that_is_harmless_is_taken():
    spaced_out = a_measurement(CLIENTS[0]).replace(b'":', b'" : ').replace(b',"', b' ,\n"')
    reversed_ = orjson.dumps(dict(reversed(orjson.loads(usual(0, **DESCRIPTION)[1]).items())))
    batches = [a_chunk([(CLIENTS[0].encode(), value) for value in (spaced_out, reversed_)])]

    assert len(quickly(batches)) == 2


def test_a_damaged_batch_is_left_to_aiokafka():
    content = a_chunk([usual(n) for n in range(20)]).content.tobytes()
    chance = random.Random(5)
    clients = LogReader(PARTITIONS, None)._clients_of(HOME)
    reader = scanner.load()
    whole = [*reader.readings([chunk_of(content)], 0, clients.__getitem__).offset]
    for _ in range(20_000):
        damaged = bytearray(content)
        for _ in range(chance.randrange(1, 4)):
            damaged[chance.randrange(16, len(damaged))] = chance.randrange(256)
        cut_off = bytes(damaged[: chance.choice([len(damaged), chance.randrange(61, len(damaged))])])
        chunk = SimpleNamespace(content=memoryview(cut_off), start=0, size=20)
        found = reader.readings([chunk], 0, clients.__getitem__)
        if found is not None:
            assert len(found) <= len(whole)


@given(st.lists(st.lists(st.sampled_from(CLIENTS), max_size=30), max_size=5))
def test_parts_joined_are_the_readings_of_all(names):
    offsets = iter(range(1000))
    parts = [[usual(next(offsets), client) for client in some] for some in names]
    batches = [a_chunk(part, 100 * number) for number, part in enumerate(parts) if part]
    reader = LogReader(PARTITIONS, scanner.load())

    found = joined([reader.readings(HOME, [chunk], 0)[0] for chunk in batches])

    assert found.taken(range(len(found))) == slowly(batches)[0]


def test_a_record_that_is_too_large_is_left_to_the_careful_reader_and_refused_by_all():
    too_large, large = (usual(n, format="x" * (MAX_RECORD - less)) for n, less in ((0, 0), (1, 1000)))
    events = [usual(2), too_large, large, usual(3)]
    batches = [a_chunk(events)]

    good, dead = slowly(batches)
    columns = MeasurementReader(HOME, PARTITIONS)(records_of(batches, 0))

    assert quickly(batches) is None
    assert quickly([a_chunk([large])]) == slowly([a_chunk([large])])[0]
    assert [reading.offset for reading in good] == list(columns.offsets) == [0, 2, 3]
    assert [record.offset for record, _ in dead] == [record.offset for record, _ in columns.unreadable] == [1]
    assert "bytes" in dead[0].reason


def test_the_buffers_of_the_scanner_stay_small_whatever_it_is_given():
    found = scanner.load()
    batches = [a_chunk([usual(n, format="x" * (MAX_RECORD // 2)) for n in range(80)])]
    clients = LogReader(PARTITIONS, None)._clients_of(HOME)

    assert found.readings(batches, 0, clients.__getitem__) is None
    assert sum(column.nbytes for column in found._column.values()) < 1 << 20
    assert found.readings([a_chunk([usual(1)])], 0, clients.__getitem__) is not None


def test_without_a_compiler_everything_is_read_one_by_one(tmp_path, monkeypatch):
    monkeypatch.setattr(scanner, "SOURCE", tmp_path / "scan.c")
    shutil.copy(scanner.Path(scanner.__file__).with_name("scan.c"), tmp_path)
    monkeypatch.setattr(c_library, "compilers", list)
    assert "without the scanner" in scanner.build_and_describe()
    assert scanner.load() is None
    batches = [a_chunk([usual(n) for n in range(50)])]

    found, dead = LogReader(PARTITIONS, scanner.load()).readings(HOME, batches, 10)

    assert found.taken(range(len(found))) == slowly(batches, 10)[0]
    assert (dead, LogReader(PARTITIONS, None).columns(HOME, batches, 0)) == ([], None)
    assert isinstance(Scanner(c_library.library(scanner.Path(scanner.__file__).with_name("scan.c"))), Scanner)
