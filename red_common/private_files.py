"""Files that only their owner can read, written whole or not at all."""

import os
from pathlib import Path


def write(path: Path, text: str) -> None:
    """Replace the file; whoever reads it, also after a loss of power, has the old text or the new one.

    Raises:
        OSError: it cannot be written.
    """
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
