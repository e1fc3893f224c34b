"""The data folder: used by one instance at a time, with enough room, and the keys that `up` creates."""

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from red_common import private_files

MIN_FREE = 512 << 20
KEYS_FILE = "keys.json"


class Unusable(Exception):
    """Raised when the system cannot run here; the text is one line that says what to do."""


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock the folder until the block, or this process, ends.

    Raises:
        Unusable: it cannot be written, its disk is full, or another instance uses it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (folder / "lock").open("a+")
    except OSError as error:
        raise Unusable(f"{folder} cannot be written ({error.strerror}): set RED_DATA") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            by = lock.read().strip() or "unknown"
            raise Unusable(
                f"{folder} is in use by another red-stats (pid {by}): stop it or set RED_DATA"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        free = shutil.disk_usage(folder).free
        if free < MIN_FREE:
            raise Unusable(
                f"{folder} has {free >> 20} MiB free, {MIN_FREE >> 20} are needed: make room or set RED_DATA"
            )
        yield


def read_keys(folder: Path) -> dict[str, Any] | None:
    """The keys of the demo client and the operator; None before the first start.

    Raises:
        Unusable: the file cannot be read.
    """
    try:
        keys: dict[str, Any] = json.loads((folder / KEYS_FILE).read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise Unusable(f"{folder / KEYS_FILE} cannot be read ({error}): restore or delete it") from error
    return keys


def write_keys(folder: Path, keys: dict[str, Any]) -> None:
    """Write the keys to a file that only its owner can read."""
    private_files.write(folder / KEYS_FILE, json.dumps(keys, indent=2))
