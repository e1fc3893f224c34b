"""The version that raised an alert is told as soon as it can raise one, recorded or not."""

from red_stats.store.alert_queries import VERSION_COLUMNS
from red_stats.web.alert_version import version_of, with_now
from tests.builders import a_subscription

CROSSING = a_subscription(
    version=1, threshold=0.25, trigger="crossing", rearm_below=0.1, min_interval=60, max_age=3600, since=10
)
CHANGED = a_subscription(version=2, threshold=0.3, since=20)
ROW = (1, 2500, "crossing", 1000, 60, 3600, "0:10", 0)
NEXT = (2, 3000, "each", -1, 0, -1, "0:20", 0)
TOLD = {
    "version": 1, "threshold": 0.25, "trigger": "crossing", "rearm_below": 0.1, "min_interval": 60,
    "max_age": 3600, "in_force_from": "0:10", "in_force_until": None,
}  # fmt: skip


def test_the_version_of_now_is_the_row_that_will_be_recorded():
    assert with_now([], CROSSING) == [ROW]
    assert with_now([ROW], CHANGED) == [ROW, NEXT]
    assert len(ROW) == len(VERSION_COLUMNS.split(", "))


def test_a_recorded_version_is_not_there_twice():
    assert with_now([ROW, NEXT], CROSSING) == [ROW, NEXT]
    assert with_now([ROW, NEXT], CHANGED) == [ROW, NEXT]
    assert with_now([ROW], None) == [ROW]


def test_the_version_of_an_alert_is_told_before_and_after_it_is_recorded():
    assert version_of(with_now([], CROSSING), 1, "0:15") == TOLD
    assert version_of(with_now([ROW], CROSSING), 1, "0:15") == TOLD
    assert version_of(with_now([ROW], None), 1, "0:15") == TOLD


def test_its_end_is_told_before_and_after_the_next_one_is_recorded():
    ended = TOLD | {"in_force_until": "0:20"}
    assert version_of(with_now([ROW], CHANGED), 1, "0:15") == ended
    assert version_of(with_now([ROW, NEXT], CHANGED), 1, "0:15") == ended


def test_one_that_is_in_force_only_behind_the_image_did_not_raise_its_alert():
    made_again = a_subscription(version=1, threshold=0.5, since=30)
    assert version_of(with_now([ROW], made_again), 1, "0:15") == TOLD
    assert version_of(with_now([ROW], made_again), 1, "0:30")["threshold"] == 0.5
    assert version_of(with_now([], made_again), 1, "0:15") is None
