"""What a decoder gives up once it has loaded everything: files, the network, other programs and processes.

Two fences, either of which holds without the other: an image that takes a decoder over must get past both.
"""

import ctypes
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from red_service.decoding import landlock, seccomp

ALL: Final[Mapping[str, Callable[[], None]]] = {"Landlock": landlock.put_up, "seccomp": seccomp.put_up}
_NO_NEW_PRIVILEGES: Final = 38  # prctl(2)


class Fences(msgspec.Struct, frozen=True):
    """The names of the fences that hold, and for each that is missing its name and why."""

    held: tuple[str, ...]
    missing: tuple[str, ...]

    def __str__(self) -> str:
        held = " and ".join(self.held) or "nothing"
        return f"fenced by {held}" + "".join(f"; without {one}" for one in self.missing)


def put_up(fences: Mapping[str, Callable[[], None]] = ALL) -> Fences:
    """Puts up, for good, every fence that this kernel has."""
    ctypes.CDLL(None).prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    held, missing = [], []
    for name, put_up_one in fences.items():
        try:
            put_up_one()
            held.append(name)
        except OSError as error:
            missing.append(f"{name} ({error.strerror})")
    return Fences(tuple(held), tuple(missing))
