"""A file that has no disk: what chDB inserts it reads from a file, whoever hands it over."""

import os
from collections.abc import Iterable
from typing import Final

SUPPORTED: Final = hasattr(os, "memfd_create")


class MemoryFile:
    """Written again and again into the pages it has: a new file would take new ones every time.

    It keeps as much memory as was written last. Not for two threads at once.
    """

    def __init__(self) -> None:
        self._file = os.fdopen(os.memfd_create("insert"), "r+b", buffering=0)

    @property
    def path(self) -> str:
        """Where this process finds it."""
        return f"/proc/self/fd/{self._file.fileno()}"

    def write(self, pieces: Iterable[bytes]) -> None:
        """Its whole content from now on.

        Raises:
            OSError: there is no more memory.
        """
        self._file.seek(0)
        for piece in pieces:
            left = memoryview(piece)
            while left:
                left = left[self._file.write(left) :]
        self._file.truncate()
