"""Takes no image while a disk is nearly full, long before Kafka or the store on it are in want of room."""

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from red_common.problems import Problem

log = logging.getLogger(__name__)

SECONDS: Final = 1.0  # between two looks: they cost an image nothing
RETRY_AFTER: Final = 30
MOST: Final = 2 << 30  # bytes kept free unless a setting says otherwise
PARTS: Final = 20  # one of so many parts of a disk is enough, too


class Space(NamedTuple):
    """Bytes of a disk: those that this user may still write, and all."""

    free: int
    size: int


def space_of(folder: Path) -> Space:
    """The disk on which a folder is, or will be."""
    folder = next(one for one in (folder.absolute(), *folder.absolute().parents) if one.exists())
    disk = os.statvfs(folder)
    return Space(disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize)


class DiskReserve:
    """Watches the disks of `folders`, of which `reserve` bytes stay free; `now` is in seconds.

    Without a `reserve` it is MOST, or one of PARTS of a smaller disk. It recovers by itself.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        reserve: int | None,
        *,
        now: Callable[[], float],
        look: Callable[[Path], Space] = space_of,
    ) -> None:
        self._folders, self._reserve, self._now, self._look = folders, reserve, now, look
        self._looked_at = float("-inf")
        self._failure: str | None = None
        self._free = float("inf")

    @property
    def free(self) -> float:
        """The free bytes of the fullest disk at the last look; infinite without one."""
        self.failure()
        return self._free

    def failure(self) -> str | None:
        """Which disk has less free than its reserve; None if all have enough."""
        if self._now() - self._looked_at >= SECONDS:
            self._looked_at = self._now()
            before, self._failure = self._failure, self._found()
            if self._failure and not before:
                log.error("no image is taken: %s; make room or lower RED_DISK_RESERVE", self._failure)
            elif before and not self._failure:
                log.warning("images are taken again: there is room")
        return self._failure

    def check(self) -> None:
        """Raises 503 `storage_full` while a disk has less free than its reserve."""
        if self.failure():
            detail = "The disk for images is nearly full; try again later."
            raise Problem("storage_full", detail, retry_after=RETRY_AFTER)

    def _found(self) -> str | None:
        spaces = [(self._look(folder), folder) for folder in self._folders]
        self._free = min((space.free for space, _ in spaces), default=float("inf"))
        for space, folder in spaces:
            reserve = min(MOST, space.size // PARTS) if self._reserve is None else self._reserve
            if space.free < reserve:
                return f"{folder} has {space.free >> 20} MiB free, of which {reserve >> 20} MiB are kept"
        return None
