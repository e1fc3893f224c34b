"""Java's default partitioner (murmur2), by which every keyed topic is written."""

from aiokafka.partitioner import murmur2


def partition_of(client_id: str, partitions: int) -> int:
    """The partition of a client in every keyed topic of that many partitions."""
    return int((murmur2(client_id.encode()) & 0x7FFFFFFF) % partitions)
