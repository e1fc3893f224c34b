"""Stops merges and raises an alarm well before the store's disk is full; both end by themselves.

chDB goes on after a failed write(): an insert is checked before it is acknowledged, a merge cannot
be (its sources are deleted later), so no merge may run where one could fail.
"""

import logging
import os
import threading
from pathlib import Path
from typing import Protocol

from red_stats import metrics

log = logging.getLogger(__name__)

SECONDS = 1.0
ROOM = 1.5  # times what inserts need: merges stop before inserts do,
AGAIN = 2.0  # and go on when there is clearly room again


def free_bytes(folder: Path) -> int:
    """Of the disk on which a folder is, or will be."""
    while not folder.exists():
        folder = folder.parent
    told = os.statvfs(folder)
    return told.f_bavail * told.f_frsize


class Merging(Protocol):
    """What the guard needs of a store."""

    @property
    def epoch(self) -> int:
        """Another one whenever it was opened again, with its merges running."""

    def command(self, sql: str) -> object:
        """Runs a statement."""


class DiskGuard:
    """Looks at the free bytes of a folder, from a thread of its own."""

    def __init__(self, store: Merging, folder: Path, min_free_bytes: int) -> None:
        self._store, self._folder, self._min = store, folder, min_free_bytes
        self._stopped_in: int | None = None  # the epoch of the store whose merges stand still
        self._end = threading.Event()

    def start(self) -> None:
        """Looks every second until `stop`."""
        threading.Thread(target=self._watch, name="disk-guard", daemon=True).start()

    def stop(self) -> None:
        """Looks no more."""
        self._end.set()

    def look(self) -> None:
        """Once."""
        free = free_bytes(self._folder)
        low = free < self._min * (ROOM if self._stopped_in is None else AGAIN)
        metrics.DISK_LOW.set(low)
        if low and self._stopped_in != self._store.epoch:
            self._store.command("SYSTEM STOP MERGES")
            self._stopped_in = self._store.epoch
            log.error("%s: %d MiB free: merges are stopped, inserts wait below %d MiB",
                      self._folder, free >> 20, self._min >> 20)  # fmt: skip
        elif not low and self._stopped_in is not None:
            self._store.command("SYSTEM START MERGES")
            self._stopped_in = None
            log.warning("%s: %d MiB free again: merges go on", self._folder, free >> 20)

    def _watch(self) -> None:
        while not self._end.wait(SECONDS):
            try:
                self.look()
            except Exception as error:
                log.warning("the disk guard: %s", error)
