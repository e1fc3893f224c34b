"""The C kernel that counts red-1 over interleaved pixels: built once, checked before it is trusted.

`python -m red_service.redness.kernel` builds it with the system's C compiler, else with the one in the
wheel `ziglang`. Without it RED gives the same numbers by `redness/count.py`, only slower.
"""

import ctypes
import sys
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np

from red_common import c_library
from red_service.redness.rule import Tally, tally_pixels

SOURCE: Final = Path(__file__).with_name("kernel.c")


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


@cache
def load() -> Kernel | None:
    """The kernel, or None when it was not built or does not give the reference's numbers."""
    try:
        kernel = Kernel(c_library.library(SOURCE))
    except (OSError, AttributeError):
        return None
    return kernel if _is_right(kernel) else None


def _is_right(kernel: Kernel) -> bool:
    """Every R with a grid of the others; the tests go through all colours."""
    grid = np.arange(0, 256, 15)
    colours = np.stack(np.meshgrid(np.arange(256), grid, grid, indexing="ij"), axis=-1).reshape(-1, 3)
    alpha = np.arange(len(colours))[:, np.newaxis] % 256
    for channels in (3, 4):
        pixels = np.hstack([colours, alpha])[:, :channels].astype(np.uint8).tobytes()
        if kernel.tally(pixels, len(colours), channels) != tally_pixels(pixels, channels):
            return False
    return True


def build_and_describe(*, portable: bool = False) -> str:
    """Which code counts here, built if it was not yet."""
    try:
        c_library.build(SOURCE, portable=portable)
    except (c_library.CannotBuild, OSError) as error:
        return f"numpy, without the C kernel ({error})"
    return "the C kernel" if load() is not None else "numpy: the C kernel gives other numbers here"


def main() -> None:
    """Build, and say in one line which kernel RED will count with."""
    portable = "--portable" in sys.argv[1:]
    print(f"red: counting with {build_and_describe(portable=portable)}")


if __name__ == "__main__":
    main()
