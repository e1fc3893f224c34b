"""Stops merges and raises an alarm well before the store's disk is full; both end once there is room.

chDB goes on after a failed write(). An insert is checked before it is acknowledged; a merge cannot be
checked (its sources are deleted later), so none may run where a write could fail.
"""

import logging
import os
import threading
from pathlib import Path
from typing import Protocol

from red_stats import metrics

log = logging.getLogger(__name__)

SECONDS = 1.0  # between two looks
STOP_FACTOR = 1.5  # times what inserts need: merges stop before inserts do
RESUME_FACTOR = 2.0  # merges go on once there is clearly room again


def free_bytes(folder: Path) -> int:
    """The free bytes of the disk on which a folder is, or will be."""
    while not folder.exists():
        folder = folder.parent
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize


class Merging(Protocol):
    """What the guard needs of a store."""

    @property
    def epoch(self) -> int:
        """Changes whenever the store is opened again, which also starts merges."""

    def command(self, sql: str) -> object:
        """Run a statement."""


class DiskGuard:
    """Watches the free bytes of a folder in a thread of its own."""

    def __init__(self, store: Merging, folder: Path, min_free_bytes: int) -> None:
        self._store, self._folder, self._min = store, folder, min_free_bytes
        self._stopped_in: int | None = None  # the epoch of the store whose merges stand still
        self._end = threading.Event()

    def start(self) -> None:
        """Look every second until `stop`."""
        threading.Thread(target=self._watch, name="disk-guard", daemon=True).start()

    def stop(self) -> None:
        """End the thread."""
        self._end.set()

    def look(self) -> None:
        """Look once: set the metric, stop or start merges.

        Raises:
            StoreError: merges could not be stopped or started.
        """
        free = free_bytes(self._folder)
        low = free < self._min * (STOP_FACTOR if self._stopped_in is None else RESUME_FACTOR)
        metrics.DISK_LOW.set(low)
        if low and self._stopped_in != self._store.epoch:
            self._store.command("SYSTEM STOP MERGES")
            self._stopped_in = self._store.epoch
            log.error("%s: only %d MiB free: merges are stopped, inserts wait below %d MiB",
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
                log.warning("the disk guard could not look, retrying: %s", error)
