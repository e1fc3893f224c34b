"""The image files that a command is to read: those named, and those in the folders named."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

SUFFIXES: Final = (
    ".jpg",
    ".jpeg",
    ".jpe",
    ".jfif",
    ".png",
    ".apng",
    ".gif",
    ".webp",
    ".avif",
    ".heic",
    ".heif",
)


class Skipped(NamedTuple):
    """A path that is left out, and why."""

    path: Path
    why: str


class ImageFiles(NamedTuple):
    """What there is to read, in order, and what of the folders is left out."""

    paths: list[Path]
    skipped: list[Skipped]


def image_files(named: Sequence[Path]) -> ImageFiles:
    """The files named, whatever they are; of a folder those at any depth that are images by their names.

    The files of a folder are sorted by path.
    """
    paths: list[Path] = []
    skipped: list[Skipped] = []
    for path in named:
        if path.is_dir():
            inside = _inside(path, skipped)
            paths += [one for one in inside if one.suffix.lower() in SUFFIXES]
            skipped += [
                Skipped(one, "not an image by its name")
                for one in inside
                if one.suffix.lower() not in SUFFIXES
            ]
        else:
            paths.append(path)
    return ImageFiles(paths, skipped)


def _inside(folder: Path, skipped: list[Skipped]) -> list[Path]:
    """The regular files below a folder; folders that cannot be read, and what is no file, are skipped."""

    def unreadable(error: OSError) -> None:
        skipped.append(Skipped(Path(error.filename), f"cannot be read: {error.strerror}"))

    found = []
    for root, _, names in os.walk(folder, onerror=unreadable):
        for path in (Path(root, name) for name in names):
            if path.is_file():
                found.append(path)
            else:
                skipped.append(Skipped(path, "not a file"))
    return sorted(found)
