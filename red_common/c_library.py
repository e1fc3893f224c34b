"""C sources of ours into libraries: built once by whatever compiler there is.

A library lies beside its source, or in the user's cache folder where that cannot be written. It is for the
processor that built it; a portable one, for an image built elsewhere, is taken where there is no other.
"""

import contextlib
import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

FLAGS: Final = ("-O3", "-shared", "-fPIC", "-std=gnu11")
NATIVE: Final = ("-march=native",)  # twice as fast; for compilers that know it
BUILD_SECONDS: Final = 300.0


class CannotBuild(Exception):
    """Raised when no compiler makes the library; the text says what to install."""


def library(source: Path, environ: Mapping[str, str] = os.environ) -> Path:
    """Where the library of this source for this processor is; where it will be, when it was not built yet."""
    places = [folder / name for name in _names(source) for folder in _folders(source, environ)]
    return next((place for place in places if place.exists()), places[0])


def _names(source: Path) -> tuple[str, str]:
    """Of the library for this processor, which must not be loaded on another one, and of the portable one."""
    text = source.read_bytes() + repr(FLAGS).encode()
    native, portable = (hashlib.sha256(text + more).hexdigest()[:12] for more in (_processor(), b""))
    return f"{source.stem}-{native}.so", f"{source.stem}-portable-{portable}.so"


def _folders(source: Path, environ: Mapping[str, str]) -> tuple[Path, Path]:
    base = environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME") or "/nonexistent") / ".cache"
    return source.parent, Path(base) / "red-stats" / "lib"


def _processor() -> bytes:
    """What the processor can do."""
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


def build(
    source: Path,
    commands: Sequence[Sequence[str]] | None = None,
    *,
    portable: bool = False,
    environ: Mapping[str, str] = os.environ,
) -> Path:
    """The library, made by the first compiler that can unless it is there; `portable` for any processor.

    Raises:
        CannotBuild: none can.
        OSError: neither the source's folder nor the cache folder can be written.
    """
    made = library(source, environ)
    if made.exists() and not portable:
        return made
    made = _writable(_folders(source, environ)) / _names(source)[portable]
    words = "no C compiler is installed"
    for command in compilers() if commands is None else commands:
        for flags in (FLAGS,) if portable else ((*FLAGS, *NATIVE), FLAGS):
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


def _writable(folders: Sequence[Path]) -> Path:
    for folder in folders[:-1]:
        if os.access(folder, os.W_OK):
            return folder
    folders[-1].mkdir(parents=True, exist_ok=True)
    return folders[-1]
