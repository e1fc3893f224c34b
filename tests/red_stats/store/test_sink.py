"""The sink protocol on real chDB: compare-and-set inserts, rivals, the ledger of markers."""

from pathlib import Path

import pytest

from red_stats.domain.column_batch import ColumnBatch
from red_stats.store.sink import ConcurrentWriter, Rows, Sink
from tests.builders import NOW

COLUMNS = ("client_id", "measured_at", "red_bp")
EMPTY = ("", 0, 0)


@pytest.fixture
def sink(store):
    store.command("TRUNCATE TABLE red.measurements")
    return Sink(store, "measurements", EMPTY, pause=lambda seconds: None)


def a_batch(first, last, partition, dead=()):
    offsets = [n for n in range(first, last + 1) if n not in dead]
    data = [["a"] * len(offsets), [NOW + n for n in offsets], [n % 10001 for n in offsets]]
    return Rows(
        "red.measurements",
        partition,
        first,
        last,
        NOW,
        COLUMNS,
        [ColumnBatch(data, offsets, [], first, NOW, last)],
    )


def recorded(store, partition):
    rows = store.query(
        "SELECT kafka_offset FROM red.measurements WHERE client_id != ''"
        " AND kafka_partition = {p:UInt16} ORDER BY kafka_offset",
        {"p": partition},
    )
    return [offset for (offset,) in rows]


def test_a_batch_is_recorded_with_its_mark(store, sink):
    assert sink.next_offset(0) is None

    sink.write(a_batch(0, 9, 0))

    assert (recorded(store, 0), sink.next_offset(0)) == (list(range(10)), 10)


def test_a_redelivered_batch_adds_no_row(store, sink):
    sink.write(a_batch(0, 9, 1))
    sink.write(a_batch(0, 9, 1))

    assert recorded(store, 1) == list(range(10))


def test_a_rival_that_cut_the_same_offsets_elsewhere_wins_once(store, sink):
    sink.write(a_batch(0, 9, 2))

    with pytest.raises(ConcurrentWriter) as caught:
        sink.write(a_batch(0, 14, 2))

    sink.write(a_batch(caught.value.next, 14, 2))
    assert recorded(store, 2) == list(range(15))


def test_a_batch_without_good_rows_is_its_marker_alone(store, sink):
    sink.write(a_batch(0, 3, 3, dead=range(4)))
    sink.write(a_batch(4, 5, 3, dead=[4]))

    assert (recorded(store, 3), sink.next_offset(3), sink.gaps(3)) == ([5], 6, [])


def test_a_hole_in_the_ledger_is_found_and_refilled(store, sink):
    for first in (0, 10, 20):
        sink.write(a_batch(first, first + 9, 4))
    store.command(
        "ALTER TABLE red.measurements DELETE WHERE kafka_partition = 4"
        " AND batch_first = 10 SETTINGS mutations_sync = 2"
    )
    assert sink.gaps(4) == [(10, 20)]

    sink.write(a_batch(10, 19, 4), refill=True)

    assert (recorded(store, 4), sink.gaps(4)) == (list(range(30)), [])


def test_the_log_survives_a_reopen(store, sink):
    sink.write(a_batch(0, 9, 5))
    store.reopen()
    sink.write(a_batch(0, 9, 5))

    assert (recorded(store, 5), sink.next_offset(5)) == (list(range(10)), 10)


@pytest.fixture
def wide(store):
    """Parts with a file for each column, as large ones have."""
    store.command("ALTER TABLE red.measurements MODIFY SETTING min_bytes_for_wide_part = 0")
    yield
    store.command("ALTER TABLE red.measurements RESET SETTING min_bytes_for_wide_part")


def test_a_column_of_defaults_in_a_wide_part_is_no_damage(store, sink, wide):
    sink.write(a_batch(0, 99, 10))

    assert recorded(store, 10) == list(range(100))


@pytest.mark.parametrize("name", ["red_bp.bin", "checksums.txt", "count.txt", "columns.txt"])
def test_a_file_that_lost_its_content_is_damage(store, sink, wide, name):
    sink.write(a_batch(0, 99, 11))
    [[part, path]] = store.query(
        "SELECT name, path FROM system.parts WHERE table = 'measurements' AND active AND rows = 101"
    )
    assert sink._part_is_whole(part)

    (Path(path) / name).write_bytes(b"")

    assert not sink._part_is_whole(part)
