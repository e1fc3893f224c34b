"""Apache Kafka's jars, fetched one by one as a flat lock file names them; every hash is checked.

jgo only downloads: its own dependency resolution picks other versions, with which Kafka does not start.
"""

import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.progress import track

LOCK = Path(__file__).with_name("jars.lock")


class JarError(Exception):
    """Raised when a jar cannot be fetched or is not the one in the lock file."""


class Jar(NamedTuple):
    """One line of the lock file."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def file_name(self) -> str:
        """The name of its file in the folder of jars."""
        return f"{self.artifact}-{self.version}.jar"


def read_lock(path: Path = LOCK) -> list[Jar]:
    """The jars of a lock file, which has `group:artifact:version sha256` on each line."""
    jars = []
    for line in path.read_text().splitlines():
        coordinates, sha256 = line.split()
        group, artifact, version = coordinates.split(":")
        jars.append(Jar(group, artifact, version, sha256))
    return jars


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder of the jars, shared by all data folders of this user."""
    base = environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "red-stats" / "kafka"


def ensure_jars(
    folder: Path, jars: list[Jar], download: Callable[[Jar, Path], Path] | None = None
) -> list[Path]:
    """Fetch the jars that are missing or damaged in a folder; returns the paths of all, in order.

    Raises:
        JarError: a download failed, or its hash is not that of the lock file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / jar.file_name for jar in jars]
    missing = [jar for jar in jars if not _is_whole(folder / jar.file_name, jar)]
    if not missing:
        return paths
    fetch = download or _download
    console = Console(stderr=True)
    if not sys.stderr.isatty():
        console.print(f"fetching {len(missing)} jars of Apache Kafka (43 MB in all)")
    title = "fetching Apache Kafka"
    for jar in track(missing, title, console=console, disable=not sys.stderr.isatty()):
        _fetch(folder, jar, fetch)
    return paths


def _fetch(folder: Path, jar: Jar, fetch: Callable[[Jar, Path], Path]) -> None:
    try:
        source = fetch(jar, folder / "downloads")
    except Exception as error:  # downloaders raise all kinds
        raise JarError(f"{jar.file_name} could not be fetched: {error}") from error
    partial = folder / (jar.file_name + ".partial")
    shutil.copyfile(source, partial)
    if not _is_whole(partial, jar):
        partial.unlink()
        Path(source).unlink()
        raise JarError(f"{jar.file_name} is not the jar of the lock file: its hash is different")
    partial.replace(folder / jar.file_name)


def _is_whole(path: Path, jar: Jar) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == jar.sha256


def _download(jar: Jar, downloads: Path) -> Path:
    from jgo.maven import MavenContext  # slow to import, needed once

    context: Any = MavenContext(repo_cache=downloads)
    project = context.project(jar.group, jar.artifact)
    return Path(project.at_version(jar.version).artifact().resolve())
