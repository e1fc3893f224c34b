"""A file in memory: chDB reads what it inserts from a file, so this avoids the disk."""

import os
from collections.abc import Iterable
from typing import Final

SUPPORTED: Final = hasattr(os, "memfd_create")


class MemoryFile:
    """A file that is overwritten in place: a new file would need new memory pages every time.

    It keeps as much memory as was written last. Use it in one thread at a time.
    """

    def __init__(self) -> None:
        self._file = os.fdopen(os.memfd_create("insert"), "r+b", buffering=0)

    @property
    def path(self) -> str:
        """The path under which this process can open it."""
        return f"/proc/self/fd/{self._file.fileno()}"

    def write(self, pieces: Iterable[bytes]) -> None:
        """Replace the whole content.

        Raises:
            OSError: there is not enough memory.
        """
        self._file.seek(0)
        for piece in pieces:
            left = memoryview(piece)
            while left:
                left = left[self._file.write(left) :]
        self._file.truncate()
