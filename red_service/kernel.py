"""The C kernel that counts red-1 over interleaved pixels: built once, checked before it is trusted.

`python -m red_service.kernel` builds it with the system's C compiler, else with the one in the
wheel `ziglang`. Without it RED gives the same numbers by `redness.py`, only slower.
"""

import contextlib
import ctypes
import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

from red_service.redness import Tally, tally_pixels

SOURCE: Final = Path(__file__).with_name("kernel.c")
FLAGS: Final = ("-O3", "-shared", "-fPIC", "-std=gnu11")
NATIVE: Final = ("-march=native",)  # twice as fast; for compilers that know it
BUILD_SECONDS: Final = 300.0


class CannotBuild(Exception):
    """Raised when no compiler makes the kernel; the text says what to install."""


class _CTally(ctypes.Structure):
    _fields_ = (
        ("red_pixels", ctypes.c_uint64),
        ("excess", ctypes.c_uint64),
        ("red_sum", ctypes.c_uint64),
    )


class Kernel:
    """The loaded library; `channels` is 3 (RGB) or 4 (RGBA), interleaved, 8 bits each."""

    def __init__(self, path: Path) -> None:
        library = ctypes.CDLL(str(path))
        self._count = {3: library.red1_rgb, 4: library.red1_rgba}
        for function in self._count.values():
            function.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.POINTER(_CTally))
            function.restype = None

    def tally(self, pixels: bytes | bytearray | memoryview, size: int, channels: int) -> Tally:
        """Counts the first `size` pixels of a buffer."""
        if len(pixels) < size * channels:
            raise ValueError("the buffer has fewer pixels than that")
        counts = _CTally()
        self._count[channels](_address(pixels), size, ctypes.byref(counts))
        return Tally(size, counts.red_pixels, counts.excess, counts.red_sum)


def _address(pixels: bytes | bytearray | memoryview) -> object:
    """What a `void *` argument takes: bytes as they are, a writable buffer without a copy."""
    return pixels if isinstance(pixels, bytes) else (ctypes.c_char * len(pixels)).from_buffer(pixels)


def library() -> Path:
    """Where the kernel of this source for this processor is, once it has been built."""
    told = SOURCE.read_bytes() + repr(FLAGS + NATIVE).encode() + _processor()
    return SOURCE.with_name(f"kernel-{hashlib.sha256(told).hexdigest()[:12]}.so")


def _processor() -> bytes:
    """What the processor can do: a library carried to another one must not be loaded there."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_bytes().splitlines():
            if line.startswith((b"flags", b"Features")):
                return line
    return repr(platform.uname()).encode()


@cache
def load() -> Kernel | None:
    """The kernel, or None when it was not built or does not give the reference's numbers."""
    try:
        kernel = Kernel(library())
    except (OSError, AttributeError):
        return None
    return kernel if _is_right(kernel) else None


def _is_right(kernel: Kernel) -> bool:
    """Every R with a grid of the others; the tests go through all colours."""
    grid = range(0, 256, 15)
    colours = [(r, g, b) for r in range(256) for g in grid for b in grid]
    for channels in (3, 4):
        pixels = bytes(
            value for number, colour in enumerate(colours) for value in (*colour, number % 256)[:channels]
        )
        if kernel.tally(pixels, len(colours), channels) != tally_pixels(pixels, channels):
            return False
    return True


def compilers() -> list[Sequence[str]]:
    """Commands that may compile C here, the best first."""
    found: list[Sequence[str]] = [
        (path,) for name in (os.environ.get("CC", ""), "cc", "gcc", "clang") if (path := shutil.which(name))
    ]
    if importlib.util.find_spec("ziglang") is not None:
        found.append((sys.executable, "-m", "ziglang", "cc"))
    return found


def build(commands: Sequence[Sequence[str]] | None = None) -> Path:
    """The library, made by the first compiler that can.

    Raises:
        CannotBuild: none can.
    """
    made = library()
    if made.exists():
        return made
    words = "no C compiler is installed"
    for command in compilers() if commands is None else commands:
        for flags in ((*FLAGS, *NATIVE), FLAGS):
            partial = made.with_suffix(f".{os.getpid()}")
            try:
                done = subprocess.run(
                    [*command, *flags, "-o", str(partial), str(SOURCE)],
                    capture_output=True, text=True, timeout=BUILD_SECONDS, check=False,
                )  # fmt: skip
            except (OSError, subprocess.TimeoutExpired) as error:
                words = str(error)
                break
            if done.returncode == 0:
                partial.replace(made)
                return made
            words = (done.stderr.strip().splitlines() or ["no words"])[-1]
    raise CannotBuild(f"{words}: install gcc, or the Python package ziglang")


def told() -> str:
    """Which code counts here, built if it was not yet."""
    try:
        build()
    except (CannotBuild, OSError) as error:
        return f"numpy, without the C kernel ({error})"
    return "the C kernel" if load() is not None else "numpy: the C kernel gives other numbers here"


def main() -> None:
    """Build, and say in one line which kernel RED will count with."""
    print(f"red: counting with {told()}")


if __name__ == "__main__":
    main()
