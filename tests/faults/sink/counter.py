"""The preloaded library that counts a child's changes of its store, and stops it at one of them."""

import ctypes
import os
import subprocess
from pathlib import Path

from red_common.c_library import compilers

SOURCE = Path(__file__).with_name("counter.c")
MODES = ("count", "kill", "half", "once", "on")  # as in counter.c


def built(folder):
    """The library, compiled once into the folder."""
    library = folder / "counter.so"
    if not library.exists():
        command = [*compilers()[0], "-O1", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"]
        subprocess.run(command, check=True, capture_output=True)
    return library


def environment(library, store, trace):
    """What a child needs to be under it."""
    return {"LD_PRELOAD": str(library), "RED_TEST_STORE": f"{store.resolve()}/", "RED_TEST_TRACE": str(trace)}


class Counter:
    """In the child: armed around one operation. Without the library nothing happens."""

    def __init__(self):
        name = os.environ.get("LD_PRELOAD")
        self._library = ctypes.CDLL(name) if name else None

    def arm(self, mode, at):
        """From now on calls are counted, and `mode` happens at call `at`."""
        if self._library:
            self._library.sink_arm(MODES.index(mode), ctypes.c_long(at))

    def disarm(self):
        """There is room again; how many calls there were."""
        return self._library.sink_disarm() if self._library else 0


def calls(trace):
    """The calls a child made while armed, as `name path`."""
    return [line.partition(" ")[2] for line in trace.read_text().splitlines()] if trace.exists() else []
