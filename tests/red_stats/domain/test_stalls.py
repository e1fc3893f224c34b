"""Which partitions stand still: none that is idle, that moves, or of which nothing is known."""

import pytest

from red_stats.domain.stalls import AFTER_SECONDS, GAP_SECONDS, NOWHERE, Place, Progress, Stalls

PLACE = Place("live", "red.measurements", 2, 5)
STEP = 3.0


class Watched:
    """Observations every STEP seconds; `first` is the first record there is to read, by offset."""

    def __init__(self):
        self.stalls, self.time = Stalls(), 100.0

    def see(self, progress, times=1, place=PLACE, record=None):
        for _ in range(times):
            self.time += STEP
            for asked, (start, end) in self.stalls.observe(self.time, {place: progress}).items():
                self.stalls.found(
                    asked, end, record if record is not None and start <= record < end else None
                )
        return self.stalls.now(self.time, {})


LONG = int(AFTER_SECONDS / STEP) + 3


@pytest.fixture
def watched():
    return Watched()


def test_an_idle_partition_is_no_stall_though_markers_stand_at_its_end(watched):
    assert watched.see(Progress(10, 10, 10), LONG) == []
    assert watched.see(Progress(10, 12, 12), LONG) == []  # a control record, and what was aborted


def test_a_partition_that_moves_is_no_stall_however_far_behind(watched):
    for offset in range(LONG):
        assert watched.see(Progress(offset, 10**6, 10**6), record=offset) == []


def test_a_record_that_is_not_processed_is_told_with_its_offset_until_it_is(watched):
    stalls = watched.see(Progress(10, 15, 15), LONG, record=11)

    assert [(s.role, s.topic, s.partition, s.cause) for s in stalls] == [(*PLACE[:3], "not processed")]
    assert "offset 11" in stalls[0].detail
    assert AFTER_SECONDS <= stalls[0].seconds < 30
    assert (
        "the store is full" in watched.stalls.now(watched.time, {("live", 2): "the store is full"})[0].detail
    )
    assert watched.see(Progress(12, 15, 15)) == []


def test_a_record_that_comes_after_a_long_idle_time_has_its_own_time_to_be_processed(watched):
    watched.see(Progress(10, 12, 12), LONG)

    assert watched.see(Progress(10, 13, 13), 3, record=12) == []
    assert watched.see(Progress(10, 13, 13), LONG, record=12)[0].cause == "not processed"


def test_an_open_transaction_is_told_with_where_it_began_until_it_ends(watched):
    stalls = watched.see(Progress(10, 10, 14), LONG)

    assert [(s.cause, s.topic, s.partition) for s in stalls] == [("open transaction", "red.measurements", 2)]
    assert "offset 10" in stalls[0].detail
    assert watched.see(Progress(10, 15, 15)) == []


def test_transactions_that_come_and_go_are_no_stall(watched):
    for offset in range(0, 20 * LONG, 2):
        assert watched.see(Progress(offset, offset, offset + 1)) == []


def test_it_shows_within_30_seconds(watched):
    times = int(30 / STEP)

    assert any(watched.see(Progress(10, 10, 14)) for _ in range(times))
    assert any(watched.see(Progress(10, 15, 15), record=10) for _ in range(times))


def test_a_new_generation_begins_anew(watched):
    watched.see(Progress(10, 10, 14), LONG)

    assert watched.see(Progress(10, 10, 14), place=PLACE._replace(generation=6)) == []
    assert watched.stalls.observe(watched.time + 1, {}) == {}
    assert watched.stalls.now(watched.time + 1, {}) == []


def test_time_without_an_observation_does_not_count(watched):
    """Kafka was away, or the process asleep."""
    watched.see(Progress(10, 10, 14), LONG - 4)
    watched.time += 10 * GAP_SECONDS

    assert watched.see(Progress(10, 10, 14)) == []


def test_a_changelog_that_is_loaded_stands_still_only_for_an_open_transaction(watched):
    place = Place("live", "changelog", 1, -1)

    assert watched.see(Progress(NOWHERE, 100, 100), LONG, place, record=5) == []
    assert [s.cause for s in watched.see(Progress(NOWHERE, 100, 101), LONG, place)] == ["open transaction"]
