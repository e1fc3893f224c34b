from red_stats.domain.measurements import BatchReader
from red_stats.domain.subscriptions import ThresholdVersion
from red_stats.replay.expected_state import ExpectedState
from red_stats.replay.verify_scope import Scope
from red_stats.replay.verify_tables import BESIDE, HeldTables, tables_differ, windows_differ
from tests.builders import a_client_of, a_record, measured

PARTITION, DAY_MS = 3, 86_400_000
CLIENT = a_client_of(PARTITION)
SUBSCRIPTION = "0b7f2f0e-7c55-4a5e-9df5-b4d2d4c3a111"


def folded(images):
    """The log of a client with one subscription at 0.5, folded; and the same as live holds it."""
    versions = {CLIENT: [ThresholdVersion(SUBSCRIPTION, 1, 5000, 0, None)]}
    expected = ExpectedState(PARTITION, versions, DAY_MS)
    add(expected, images)
    live = HeldTables()
    for table in ("windows", *BESIDE):
        for n, (key, value) in enumerate(getattr(expected.tables, table).encoded().items()):
            live.load(table, a_record(value, n, key))
    return expected, live


def add(expected, images):
    readings, dead = BatchReader(PARTITION, 4).read_all(images, -1)
    assert not dead
    expected.add(readings)


def differences(expected, live):
    found = tables_differ(PARTITION, expected, live)
    found.append(windows_differ(PARTITION, expected, live, Scope(), DAY_MS)[2])
    return [one for one in found if one is not None]


def test_tables_that_hold_what_the_log_implies_do_not_differ():
    assert differences(*folded([measured(CLIENT, 0.9, offset=n) for n in range(3)])) == []


def test_a_row_that_is_wrong_is_named_with_its_table():
    expected, live = folded([measured(CLIENT, 0.9, offset=n) for n in range(3)])
    live.load("alert_sequences", a_record(b"7", 9, SUBSCRIPTION.encode()))
    live.load("alert_sequences", a_record(b"1", 10, b"nobody's"))

    assert differences(expected, live) == [
        {
            "kind": "live alert_sequences",
            "partition": PARTITION,
            "missing": 1,
            "extra": 1,
            "examples": [SUBSCRIPTION, "nobody's"],
        }
    ]


def test_a_row_that_changed_while_it_was_read_may_stand_at_any_of_its_values():
    expected, live = folded([measured(CLIENT, 0.9, offset=n) for n in range(3)])
    expected.note_touched()
    add(expected, [measured(CLIENT, 0.9, offset=n) for n in range(3, 6)])

    assert tables_differ(PARTITION, expected, live) == [None]
    live.load("alert_sequences", a_record(b"5", 9, SUBSCRIPTION.encode()))
    assert tables_differ(PARTITION, expected, live) == [None]
