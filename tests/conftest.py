"""A real Apache Kafka for the whole run, on free ports; RED_TEST_KAFKA names one that runs already."""

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from red_service import header_keys
from red_stats import topics
from red_stats.local.kafka import new_kafka

PARTITIONS = 4
header_keys.accept_any()  # what tests write, they read


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def a_broker(folder: Path) -> Iterator[str]:
    """Bootstrap address of a broker with every topic created."""
    running = os.environ.get("RED_TEST_KAFKA")
    if running:
        asyncio.run(topics.ensure_topics(running, PARTITIONS))
        yield running
        return
    broker = new_kafka(folder, free_port(), free_port())
    broker.start()
    try:
        asyncio.run(broker.until_ready())
        asyncio.run(topics.ensure_topics(broker.bootstrap, PARTITIONS))
        yield broker.bootstrap
    finally:
        broker.stop()


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with a_broker(tmp_path_factory.mktemp("kafka")) as bootstrap:
        yield bootstrap
