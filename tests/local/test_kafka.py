"""Kafka's folder."""

from red_stats.local.kafka import new_kafka
from red_stats.local.ports import free_port


def test_a_cluster_id_that_looks_like_an_option_is_an_id(tmp_path):
    broker = new_kafka(tmp_path / "kafka", free_port(), free_port())
    broker.folder.mkdir()
    (broker.folder / "cluster.id").write_text("-vbYCqjNRyO8hCrw4zrGrQ")

    broker.prepare()

    assert "-vbYCqjNRyO8hCrw4zrGrQ" in (broker.folder / "log" / "meta.properties").read_text()
