"""A small disk of a process under test: a tmpfs that can be filled to its last byte."""

import contextlib
import os
import subprocess

CHUNKS = (1 << 20, 4096, 1)


class CannotMount(Exception):
    """Raised where a test may not mount: those scenarios are not run there."""


class Disk:
    """Mounted at a folder until `close`; never swapped, never larger than `size` MiB."""

    def __init__(self, folder, size):
        self.folder = folder
        self._ballast = folder / "ballast"
        folder.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}m", "tmpfs", str(folder)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as error:
            raise CannotMount(str(error)) from error
        if done.returncode:
            raise CannotMount(done.stderr.strip())

    def fill(self):
        """Take every byte that is free now."""
        with self._ballast.open("ab", buffering=0) as ballast:
            for chunk in CHUNKS:
                with contextlib.suppress(OSError):
                    while ballast.write(bytes(chunk)) == chunk:
                        pass

    @property
    def free(self):
        """Bytes that can be written."""
        told = os.statvfs(self.folder)
        return told.f_bavail * told.f_frsize

    def clear(self):
        """There is room again."""
        self._ballast.unlink(missing_ok=True)

    def close(self):
        """Unmount, whoever still has a file open."""
        subprocess.run(["umount", "-l", str(self.folder)], check=False, capture_output=True)
