"""Records that others wrote where only we write: read with sane values, or refused in clear words."""

from types import SimpleNamespace

import msgspec
import orjson
import pytest

from red_common.events import InvalidEvent
from red_stats.domain import alerts, command_results, windows
from red_stats.domain.command_history import CommandHistory
from red_stats.domain.delivery_kinds import of_alert, of_task
from red_stats.domain.recorded_tables import ALERTS, DELIVERIES
from red_stats.domain.subscription_lists import SubscriptionLists
from red_stats.domain.version_history import History
from red_stats.tables.pending_deliveries import PendingRows
from tests.builders import an_alert

ARABIC = "١٢"
ODD_ALERTS = [
    {"seq": -1}, {"prev_seq": -1}, {"version": -1}, {"version": 2**32}, {"seq": 2**64},
    {"position": f"1:{ARABIC}"}, {"position": "1:7\n"}, {"position": ""}, {"position": "1:" + "9" * 19},
    {"id": "１" * 32}, {"id": "a" * 32}, {"id": "-" * 500 + "a" * 32}, {"image_id": "x" * 201},
    {"subscription_id": "x" * 201}, {"measured_at": "9999-12-31T23:59:59.999-23:59"},
    {"measured_at": "1969-12-31T23:59:59.999Z"}, {"red": -0.5}, {"red": 1.5}, {"threshold": 2},
]  # fmt: skip


def record(value, key=b"client"):
    return SimpleNamespace(key=key, value=value, offset=0, timestamp=0)


def an_event(**changes):
    fields = {
        "id": "d", "webhook_id": "w", "alert_id": None, "client_id": "client", "subscription_id": "s",
        "version": 1, "state": "pending", "attempt": 0, "at": "2026-01-01T00:00:00.000Z", "status": None,
        "error": None, "ms": 0, "due_at": None,
    }  # fmt: skip
    return orjson.dumps(fields | changes)


@pytest.mark.parametrize("changes", ODD_ALERTS)
def test_an_alert_with_an_impossible_value_is_neither_delivered_nor_recorded(changes):
    if changes == {"seq": 2**64}:
        value = an_alert(seq=77).replace(b'"seq":77', b'"seq":18446744073709551616')
    else:
        value = an_alert(**changes)

    with pytest.raises(InvalidEvent):
        alerts.decode(value)
    with pytest.raises(InvalidEvent):
        of_alert(b"client", value, 0)
    assert ALERTS.reader(0, 1)([record(value)]).unreadable


def test_an_alert_that_is_no_text_is_neither_delivered_nor_recorded():
    value = an_alert(more="X").replace(b'"X"', b'"\xff"')

    with pytest.raises(InvalidEvent):
        of_alert(b"client", value, 0)
    assert ALERTS.reader(0, 1)([record(value)]).unreadable


@pytest.mark.parametrize("key", [None, b"", b"\xff", b"NO", b"x" * 65])
def test_what_is_no_client_is_never_recorded_as_one(key):
    """A row without a client would be taken for the mark of a batch."""
    assert ALERTS.reader(0, 1)([record(an_alert(), key)]).unreadable
    assert ALERTS.reader(0, 1)([record(an_alert())]).unreadable == []


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": ""}, {"client_id": "NO"}, {"attempt": -1}, {"attempt": 65_536}, {"status": 65_536},
        {"status": -1}, {"ms": -1}, {"ms": 2**32}, {"version": 2**32}, {"id": "x" * 201},
        {"at": "9999-12-31T23:59:59.999-23:59"}, {"due_at": "0001-01-01T00:00:00+23:59"},
    ],
)  # fmt: skip
def test_a_delivery_with_an_impossible_value_is_not_recorded(changes):
    assert DELIVERIES.reader(0, 1)([record(an_event(**changes))]).unreadable
    assert DELIVERIES.reader(0, 1)([record(an_event())]).unreadable == []


def test_a_time_is_sent_in_our_form_however_it_was_written():
    row = of_alert(b"client", an_alert(measured_at="2026-01-01t02:00:00.1234567+0200"), 0)

    assert row.timestamp == "2026-01-01T00:00:00.123Z"


@pytest.mark.parametrize("task_id", ["１" * 32, "a" * 32, "urn:uuid:" + "a" * 32])
def test_a_task_is_named_by_a_uuid_as_it_is_written(task_id):
    task = {"kind": "test", "task_id": task_id, "client_id": "c", "subscription_id": "s", "version": 1}

    with pytest.raises(InvalidEvent):
        of_task(b"c", orjson.dumps(task | {"threshold": 0.5}), 0)


def a_redelivery(**changes):
    row = of_alert(b"c", an_alert(), 7)
    fields = {name: getattr(row, name) for name in row.__struct_fields__}
    return orjson.dumps({"kind": "redeliver", "row": fields | changes})


def test_a_delivery_that_is_sent_again_is_due_at_once_and_keeps_its_bytes_and_attempts():
    row = of_task(b"c", a_redelivery(attempt=3, probes=3, made=5, held=True, wait=9, tried="x", asked=9), 99)
    assert (row.since, row.due, row.held, row.wait, row.tried, row.asked) == (99, 99, False, 0, "", 0)
    assert (row.attempt, row.probes, row.made) == (3, 3, 5)


@pytest.mark.parametrize(
    "changes",
    [{"type": "red.nothing"}, {"type": "red.test", "count": 0}, {"count": 0}, {"client_id": "d"}, {"id": 1}],
)
def test_a_delivery_that_is_none_of_alerts_is_not_sent_again(changes):
    with pytest.raises(InvalidEvent):
        of_task(b"c", a_redelivery(**changes), 0)


def a_result(**changes):
    public = {
        "id": "s", "version": 1, "webhook_url": "https://example.com/h", "threshold": 0.5,
        "description": None, "enabled": True, "disabled_reason": None, "in_force_from": "1:5",
        "created_at": "", "updated_at": "",
    }  # fmt: skip
    row = {
        "id": "s", "version": 1, "webhook_url": "https://example.com/h", "threshold": 0.5, "since": 5,
        "partition": 1, "created_at": "", "updated_at": "",
    }  # fmt: skip
    fields = {
        "command_id": "c", "client_id": "client", "status": "accepted", "command_position": "1:7",
        "subscription": public | changes.pop("public", {}), "row": row | changes.pop("row", {}),
        "ended": False,
    }  # fmt: skip
    return orjson.dumps(fields | changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"command_position": f"1:{ARABIC}"}, {"command_position": "1:x"}, {"command_position": "7"},
        {"public": {"in_force_from": f"1:{ARABIC}"}}, {"public": {"in_force_from": "x"}},
        {"public": {"threshold": 0.123456}}, {"public": {"threshold": 7}}, {"row": {"secrets": "x"}},
    ],
)  # fmt: skip
def test_a_result_that_none_of_ours_wrote_stops_no_replay(changes):
    with pytest.raises(InvalidEvent):
        command_results.decode(a_result(**changes))
    History().add(a_result(**changes))
    with pytest.raises(InvalidEvent):
        CommandHistory().add(a_result(**changes))
    assert command_results.decode(a_result()).command_offset == 7


@pytest.mark.parametrize(
    "value",
    [
        b"\xff", b"[]", b'{"client_id":"c","offset":0,"x":' + b"[" * 100_000,
        orjson.dumps(
            {
                "client_id": "c", "offset": 0,
                "subscriptions": [
                    {
                        "id": "s", "version": 1, "webhook_url": "u", "threshold": 0.123456, "since": 0,
                        "partition": 0, "created_at": "", "updated_at": "",
                    }
                ],
            }
        ),
    ],
)  # fmt: skip
def test_a_list_that_cannot_be_used_counts_as_none(value):
    lists = SubscriptionLists()
    lists.load(b"c", value)

    assert lists.get("c") is None
    assert lists.with_versions().active_versions("c") == ()


@pytest.mark.parametrize(
    "window",
    [
        windows.Window(1, 5, b""), windows.Window(200, 5, b"x" * 200), windows.Window(1, 5, b"\xff"),
        windows.Window(-1, 5, b""),
    ],
)  # fmt: skip
def test_a_window_whose_counts_contradict_each_other_is_refused(window):
    with pytest.raises(msgspec.MsgspecError):
        windows.decode(windows.encode(window))


def test_a_pending_row_of_an_unknown_kind_is_refused():
    row = of_alert(b"client", an_alert(), 0)
    rows = PendingRows()

    with pytest.raises(ValueError, match="kind"):
        rows.load(b"x", msgspec.json.encode(msgspec.structs.replace(row, type="red.strange")))
    rows.load(row.id.encode(), msgspec.json.encode(row))
    assert list(rows) == [row.id]
