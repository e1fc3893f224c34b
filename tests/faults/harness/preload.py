"""The preloaded library that lets a test turn a process's wall clock and slow its disk."""

import mmap
import struct
import subprocess
from pathlib import Path

from red_common.c_library import compilers

SOURCE = Path(__file__).with_name("preload.c")


class Faults:
    """A page shared with the processes it is given to; a change works at once in all of them."""

    def __init__(self, folder, name):
        self._file = folder / f"{name}.page"
        self._file.write_bytes(bytes(mmap.PAGESIZE))
        self._library = built(folder)
        with self._file.open("r+b") as file:
            self._page = mmap.mmap(file.fileno(), mmap.PAGESIZE)

    @property
    def environment(self):
        """What a process needs to be under it."""
        return {"LD_PRELOAD": str(self._library), "RED_TEST_FAULTS": str(self._file)}

    def turn_clock(self, seconds):
        """The wall clock is that much ahead (or behind) from now on."""
        struct.pack_into("q", self._page, 0, int(seconds * 1e9))

    def slow_syncs(self, seconds):
        """Every fsync takes that much longer from now on."""
        struct.pack_into("q", self._page, 8, int(seconds * 1e3))


def built(folder):
    """The library, compiled once into the folder."""
    library = folder / "preload.so"
    if not library.exists():
        command = [*compilers()[0], "-O2", "-shared", "-fPIC", "-o", str(library), str(SOURCE)]
        subprocess.run(command, check=True, capture_output=True)
    return library
