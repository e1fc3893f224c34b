"""A real Apache Kafka for the whole run, on free ports; RED_TEST_KAFKA names one that runs already."""

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import hypothesis

# The first `builds` of a run would import this, where every warning is an error: a socket that an earlier
# test left open, collected meanwhile, would fail the test that runs.
import hypothesis.extra.numpy
import pytest

from red_common.kafka import patches
from red_common.kafka.connection import KafkaConnection
from red_stats.kafka.topic_admin import ensure_topics
from red_stats.local.kafka import new_kafka

PARTITIONS = 4
ROOT = Path(__file__).parent
SYSTEM_FOLDERS = ("faults", "system")
patches.apply()  # as every entry point does
hypothesis.settings.register_profile("red", deadline=None)  # how long it takes says how busy the machine is
hypothesis.settings.load_profile("red")


_given: set[int] = set()


def free_port() -> int:
    """A port that is free and was given to nobody else of this run: it is taken only later."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port not in _given:
            _given.add(port)
            return port


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever asks for a broker needs a system, and so do whole folders; other tests say so themselves."""
    for item in items:
        folder = item.path.relative_to(ROOT).parts[0]
        if folder in SYSTEM_FOLDERS or "kafka" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.system)


@contextmanager
def a_broker(folder: Path) -> Iterator[str]:
    """Bootstrap address of a broker with every topic created."""
    running = os.environ.get("RED_TEST_KAFKA")
    if running:
        asyncio.run(ensure_topics(KafkaConnection(running), PARTITIONS))
        yield running
        return
    broker = new_kafka(folder, free_port(), free_port())
    broker.start()
    try:
        asyncio.run(broker.until_ready())
        asyncio.run(ensure_topics(KafkaConnection(broker.bootstrap), PARTITIONS))
        yield broker.bootstrap
    finally:
        broker.stop()


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with a_broker(tmp_path_factory.mktemp("kafka")) as bootstrap:
        yield bootstrap


@pytest.fixture(scope="session")
def unverified_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A broker for alerts about no measurement, of which `verify` on the other one would rightly complain."""
    with a_broker(tmp_path_factory.mktemp("kafka")) as bootstrap:
        yield bootstrap
