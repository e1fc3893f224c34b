"""`python -m red_stats.local.kafka_training`: makes the cache with which Kafka starts quickly, once.

It runs a Kafka of its own for some seconds. Nothing depends on it: without a cache Kafka starts as well.
"""

import asyncio
import logging
import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from red_common.kafka.connection import KafkaConnection, KafkaError
from red_stats.kafka.readiness import write_and_read
from red_stats.local.aot_cache import cache_file
from red_stats.local.kafka import JVM, Kafka, KafkaNotReady, find_java
from red_stats.local.kafka_jars import JarError, cache_folder, ensure_jars, read_lock
from red_stats.local.ports import free_port

SECONDS: Final = 8.0  # under load
STOP_SECONDS: Final = 120.0  # Java writes the cache when it ends


def train(folder: Path) -> Path | None:
    """Makes the cache if there is none yet; returns where it is, None if this Java makes none.

    Raises:
        JarError, KafkaNotReady: Kafka cannot be fetched or started, or Java wrote no cache.
    """
    cache = cache_file(find_java(), folder, JVM)
    if cache is None or cache.exists():
        return cache
    jars = ensure_jars(folder, read_lock())
    print("preparing quick starts of Kafka, once: about 20 s", flush=True)
    partial = cache.with_suffix(f".{os.getpid()}.partial")
    try:
        _run_kafka(jars, [f"-XX:AOTCacheOutput={partial}"])
        if not partial.exists():
            raise KafkaNotReady("Java has written no cache")
        partial.replace(cache)
    finally:
        partial.unlink(missing_ok=True)
    return cache


def _run_kafka(jars: list[Path], options: list[str]) -> None:
    """A Kafka on a data folder of its own, under load for some seconds."""
    with TemporaryDirectory(prefix="red-stats-training-") as data:
        kafka = Kafka(Path(data) / "kafka", free_port(), free_port(), jars, options)
        kafka.start()
        try:
            asyncio.run(_load(kafka))
        finally:
            kafka.stop(STOP_SECONDS)


async def _load(kafka: Kafka) -> None:
    await kafka.until_ready(60)
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        await write_and_read(KafkaConnection(kafka.bootstrap))


def main() -> None:
    """Makes the cache; what prevents it is one line, and no failure."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # Kafka is expected not to be there yet
    try:
        train(cache_folder())
    except (JarError, KafkaNotReady, KafkaError, OSError) as error:
        print(f"Kafka will start less quickly: {error}", file=sys.stderr)


if __name__ == "__main__":
    main()
