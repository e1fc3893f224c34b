"""Topics of a test's own, so that no other test meets what it writes; and how large their records may be."""

import uuid

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType


def own(word: str) -> str:
    """A name that no other test has."""
    return f"{word}-{uuid.uuid4().hex[:12]}"


async def new_topics(bootstrap: str, *names: str, partitions: int = 1, **configs: str) -> None:
    """Topics of these names; `cleanup_policy` is Kafka's cleanup.policy."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    told = {name.replace("_", "."): value for name, value in configs.items()}
    try:
        await admin.create_topics([NewTopic(name, partitions, 1, topic_configs=told) for name in names])
    finally:
        await admin.close()


async def limit_records(bootstrap: str, size: int, *names: str) -> None:
    """From now on the topics take record batches of so many bytes."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    config = {"max.message.bytes": str(size), "message.timestamp.type": "LogAppendTime"}
    try:
        for name in names:
            await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, config)])
    finally:
        await admin.close()
