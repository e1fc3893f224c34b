"""While a disk is nearly full no image is taken; it is looked at once a second."""

import pytest

from red_common.problems import Problem
from red_service.disk_reserve import MOST, SECONDS, DiskReserve, Space, space_of

GIB = 1 << 30


class Disk:
    """One whose space a test sets; counts how often it was looked at."""

    def __init__(self, free, size=1000 * GIB):
        self.space, self.looks = Space(free, size), 0

    def __call__(self, folder):
        self.looks += 1
        return self.space


def refused(reserve):
    try:
        reserve.check()
    except Problem as problem:
        return problem.status, problem.code, problem.retry_after
    return None


@pytest.mark.parametrize(
    ("reserve", "size", "kept"),
    [(None, 1000 * GIB, MOST), (None, 20 * GIB, GIB), (5 * GIB, 20 * GIB, 5 * GIB)],
)
def test_no_image_is_taken_with_less_than_the_reserve_free(tmp_path, reserve, size, kept):
    enough, less = (
        DiskReserve([tmp_path], reserve, now=lambda: 0.0, look=Disk(free, size)) for free in (kept, kept - 1)
    )

    assert refused(enough) is None
    assert refused(less) == (503, "storage_full", 30)


def test_images_are_taken_again_once_there_is_room_and_a_second_has_one_look(tmp_path, caplog):
    times, disk = [0.0], Disk(MOST - 1)
    guard = DiskReserve([tmp_path], None, now=lambda: times[0], look=disk)
    for _ in range(1000):
        assert refused(guard)
    assert disk.looks == 1
    assert "2047 MiB free" in guard.failure()

    disk.space = Space(MOST, 1000 * GIB)
    times[0] = SECONDS

    assert refused(guard) is None
    assert (guard.failure(), guard.free, disk.looks) == (None, MOST, 2)
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]


def test_the_fullest_disk_decides(tmp_path):
    spaces = {tmp_path / "images": Space(9 * GIB, 90 * GIB), tmp_path / "kafka": Space(GIB, 90 * GIB)}
    guard = DiskReserve(list(spaces), None, now=lambda: 0.0, look=spaces.get)

    assert refused(guard)
    assert guard.free == GIB
    assert str(tmp_path / "kafka") in guard.failure()


def test_a_folder_that_is_not_there_yet_has_the_space_of_where_it_will_be(tmp_path):
    assert space_of(tmp_path / "a" / "b").size == space_of(tmp_path).size > 0
    assert refused(DiskReserve([], None, now=lambda: 0.0)) is None
