"""Kafka's default partitioner (Java's murmur2), which every topic keyed by client_id uses."""

from aiokafka.partitioner import murmur2


def partition_of(client_id: str, partitions: int) -> int:
    """The partition, 0..partitions-1, of a client in every topic with that many partitions."""
    return int((murmur2(client_id.encode()) & 0x7FFFFFFF) % partitions)
