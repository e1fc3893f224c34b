"""Kafka's classes and the profiles of its code, kept by Java from one run for the next (JEP 483, 515).

With such a cache Kafka starts in two thirds of the time, and is soon warm with both of Java's compilers.
Without one only the quick compiler is used: the other would be busy for a minute after each start.
"""

import hashlib
import re
import sys
from pathlib import Path
from typing import Final

from red_stats.local.kafka_jars import LOCK

QUICK: Final = "-XX:TieredStopAtLevel=1"  # costs a quarter more processor time than both compilers, once warm
QUIET: Final = "-Xlog:aot*=error"  # which entries Java made anew concerns nobody
KNOWN_SINCE: Final = 25  # the Java that makes a cache in one run


def java_version(java: str) -> tuple[int, str]:
    """The major version of a Java and all of it, by its file `release`; (0, "") if it has none."""
    try:
        release = (Path(java).resolve().parents[1] / "release").read_text()
    except OSError:
        return 0, ""
    found = re.search(r'JAVA_VERSION="((\d+)[^"]*)', release)
    return (int(found[2]), found[1]) if found else (0, "")


def cache_file(java: str, folder: Path, options: tuple[str, ...], prefix: str = sys.prefix) -> Path | None:
    """Where the cache of this Java, these jars and options is, made or not; None if Java makes none.

    It belongs to one Java: that of a virtual environment keeps it there, any other in `folder`.
    """
    major, version = java_version(java)
    if major < KNOWN_SINCE:
        return None
    place = Path(prefix) if Path(java).is_relative_to(prefix) else folder
    made_from = "\n".join([java, version, *options]).encode() + LOCK.read_bytes()
    return place / f"kafka-{hashlib.sha256(made_from).hexdigest()[:12]}.aot"


def compiler_options(cache: Path | None) -> list[str]:
    """How Java compiles: with the cache, if it has been made."""
    return [f"-XX:AOTCache={cache}", QUIET] if cache is not None and cache.exists() else [QUICK]
