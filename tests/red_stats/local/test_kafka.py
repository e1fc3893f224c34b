"""Kafka's folder, and what its Java says."""

import asyncio

import pytest

from red_stats.local.aot_cache import QUICK, QUIET, cache_file, compiler_options
from red_stats.local.kafka import JVM, find_java, new_kafka, silenced
from red_stats.local.kafka_jars import cache_folder
from red_stats.local.kafka_training import train
from tests.conftest import free_port


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


def a_java(folder, version):
    (folder / "release").write_text(f'JAVA_VERSION="{version}"\n')
    return str(folder / "bin" / "java")


def test_a_cache_belongs_to_one_java_and_its_options(tmp_path):
    java, other = a_java(tmp_path, "25.0.2"), tmp_path / "other"
    one = cache_file(java, other, ("-Xmx1m",))
    assert one.parent == other
    assert one == cache_file(java, other, ("-Xmx1m",))
    assert one != cache_file(java, other, ("-Xmx2m",))
    assert cache_file(java, other, (), prefix=str(tmp_path)).parent == tmp_path
    a_java(tmp_path, "25.0.3")
    assert one != cache_file(java, other, ("-Xmx1m",))
    assert cache_file(a_java(tmp_path, "24.0.1"), other, ()) is None


def test_without_a_cache_only_the_quick_compiler_is_used(tmp_path):
    assert compiler_options(None) == compiler_options(tmp_path / "none.aot") == [QUICK]
    (tmp_path / "made.aot").write_bytes(b"x")
    assert compiler_options(tmp_path / "made.aot") == [f"-XX:AOTCache={tmp_path}/made.aot", QUIET]


def printed(folder):
    """What a Kafka printed that was started, answered and was stopped."""
    broker = new_kafka(folder, free_port(), free_port())
    broker.start()
    try:
        asyncio.run(broker.until_ready())
    finally:
        broker.stop()
    return (folder / "kafka.out").read_text()


@pytest.mark.system
def test_a_damaged_cache_is_told_and_stops_no_kafka(tmp_path, monkeypatch):
    damaged = tmp_path / "damaged.aot"
    damaged.write_bytes(b"no cache")
    monkeypatch.setattr("red_stats.local.kafka.cache_file", lambda *_: damaged)
    assert "processing the AOT cache" in printed(tmp_path / "kafka")


@pytest.mark.system
def test_the_cache_of_this_installation_is_made_once_and_used():
    cache = train(cache_folder())
    assert cache == cache_file(find_java(), cache_folder(), JVM)
    assert compiler_options(cache) == [f"-XX:AOTCache={cache}", QUIET]
    made_at = cache.stat().st_mtime
    assert train(cache_folder()).stat().st_mtime == made_at


@pytest.mark.system
def test_kafka_with_a_cache_warns_of_nothing_in_it(tmp_path):
    train(cache_folder())
    assert "[aot" not in printed(tmp_path / "kafka")
