import pytest

from red_common.events import rfc3339
from red_stats.domain.endpoint_health import Recorded, health
from red_stats.domain.measurements import from_ms
from tests.builders import NOW

NOTHING = Recorded(0, 0, 0, 0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("changes", "enabled", "state"),
    [
        ({}, True, "ok"),
        ({"failures": 1}, True, "failing"),
        ({"failures": 4}, True, "failing"),
        ({"failures": 5}, True, "paused"),
        ({"failures": 1, "asked_until": NOW + 1}, True, "paused"),
        ({"failures": 1, "asked_until": NOW}, True, "failing"),
        ({"failures": 5}, False, "disabled"),
        ({}, False, "disabled"),
    ],
)
def test_the_state_follows_from_what_is_recorded_and_who_disabled_it(changes, enabled, state):
    assert health(NOTHING._replace(**changes), enabled=enabled, now=NOW)["state"] == state


def test_what_there_was_not_is_null():
    told = health(NOTHING, enabled=True, now=NOW)
    assert told == {
        "state": "ok", "failing_since": None, "last_success_at": None, "last_status": None, "pending": 0,
        "held": 0, "next_attempt_at": None, "changes": [],
    }  # fmt: skip


def test_changes_are_told_as_they_were_recorded():
    recorded = NOTHING._replace(changes=[(NOW, "enabled", ""), (NOW - 1000, "disabled", "gone")])
    assert health(recorded, enabled=True, now=NOW)["changes"] == [
        {"at": rfc3339(from_ms(NOW)), "state": "enabled", "reason": None},
        {"at": rfc3339(from_ms(NOW - 1000)), "state": "disabled", "reason": "gone"},
    ]
