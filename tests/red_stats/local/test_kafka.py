"""Kafka's folder, and what its Java says."""

import asyncio

import pytest

from red_stats.local.kafka import new_kafka, silenced
from red_stats.local.ports import free_port


@pytest.mark.system
def test_a_cluster_id_that_looks_like_an_option_is_an_id(tmp_path):
    broker = new_kafka(tmp_path / "kafka", free_port(), free_port())
    broker.folder.mkdir()
    (broker.folder / "cluster.id").write_text("-vbYCqjNRyO8hCrw4zrGrQ")

    broker.prepare()

    assert "-vbYCqjNRyO8hCrw4zrGrQ" in (broker.folder / "log" / "meta.properties").read_text()


@pytest.mark.system
def test_a_kafka_that_is_stopped_says_nothing_of_its_java(tmp_path):
    broker = new_kafka(tmp_path, free_port(), free_port())
    broker.start()
    asyncio.run(broker.until_ready())
    broker.stop()
    assert "WARNING" not in (tmp_path / "kafka.out").read_text()


@pytest.mark.parametrize(("version", "options"), [("17.0.15", 0), ("23", 0), ("25.0.2", 1), (None, 0)])
def test_only_a_java_that_knows_the_option_is_told_to_be_silent(tmp_path, version, options):
    java = tmp_path / "bin" / "java"
    if version:
        (tmp_path / "release").write_text(f'IMPLEMENTOR="x"\nJAVA_VERSION="{version}"\n')
    assert len(silenced(str(java))) == options
