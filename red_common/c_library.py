"""C sources of ours into libraries: built once by whatever compiler there is, beside their source."""

import contextlib
import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

FLAGS: Final = ("-O3", "-shared", "-fPIC", "-std=gnu11")
NATIVE: Final = ("-march=native",)  # twice as fast; for compilers that know it
BUILD_SECONDS: Final = 300.0


class CannotBuild(Exception):
    """Raised when no compiler makes the library; the text says what to install."""


def library(source: Path) -> Path:
    """Where the library of this source for this processor is, once it has been built."""
    told = source.read_bytes() + repr(FLAGS + NATIVE).encode() + _processor()
    return source.with_name(f"{source.stem}-{hashlib.sha256(told).hexdigest()[:12]}.so")


def _processor() -> bytes:
    """What the processor can do: a library carried to another one must not be loaded there."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_bytes().splitlines():
            if line.startswith((b"flags", b"Features")):
                return line
    return repr(platform.uname()).encode()


def compilers() -> list[Sequence[str]]:
    """Commands that may compile C here, the best first."""
    found: list[Sequence[str]] = [
        (path,) for name in (os.environ.get("CC", ""), "cc", "gcc", "clang") if (path := shutil.which(name))
    ]
    if importlib.util.find_spec("ziglang") is not None:
        found.append((sys.executable, "-m", "ziglang", "cc"))
    return found


def build(source: Path, commands: Sequence[Sequence[str]] | None = None) -> Path:
    """The library, made by the first compiler that can.

    Raises:
        CannotBuild: none can.
    """
    made = library(source)
    if made.exists():
        return made
    words = "no C compiler is installed"
    for command in compilers() if commands is None else commands:
        for flags in ((*FLAGS, *NATIVE), FLAGS):
            partial = made.with_suffix(f".{os.getpid()}")
            try:
                done = subprocess.run(
                    [*command, *flags, "-o", str(partial), str(source)],
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
