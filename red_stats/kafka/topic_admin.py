"""Creates and checks the topics; Faust never does."""

from aiokafka.admin import NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, for_code

from red_common.kafka.connection import AdminClient, KafkaConnection
from red_stats.topics import TopicSettings, wanted


class TopicMismatch(Exception):
    """Raised when an existing topic is not configured as it must be; the text names every difference."""


async def ensure_topics(
    connection: KafkaConnection,
    partitions: int,
    replication: int = 1,
    measurements_retention_days: float | None = None,
) -> list[TopicSettings]:
    """Create the missing topics and check the existing ones; returns the settings of all.

    Raises:
        TopicMismatch: the partitions, cleanup policy or timestamp type of an existing topic differ.
        KafkaError: Kafka cannot be reached.
    """
    topics = wanted(partitions, measurements_retention_days)
    admin = connection.admin()
    await admin.start()
    try:
        existing = set(await admin.list_topics())
        missing = [topic for topic in topics if topic.name not in existing]
        if missing:
            await _create(admin, missing, replication)
        differences = await _differences(admin, [t for t in topics if t.name in existing])
    finally:
        await admin.close()
    if differences:
        raise TopicMismatch("; ".join(differences))
    return topics


async def _create(admin: AdminClient, missing: list[TopicSettings], replication: int) -> None:
    response = await admin.create_topics(
        [NewTopic(topic.name, topic.partitions, replication, topic_configs=topic.config) for topic in missing]
    )
    for name, code, *_ in response.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            raise error(f"{name} could not be created")


async def _differences(admin: AdminClient, topics: list[TopicSettings]) -> list[str]:
    if not topics:
        return []
    found = []
    described = {d["topic"]: d for d in await admin.describe_topics([t.name for t in topics])}
    resources = [ConfigResource(ConfigResourceType.TOPIC, t.name) for t in topics]
    configs: dict[str, dict[str, str]] = {}
    for response in await admin.describe_configs(resources):
        for _, _, _, name, entries in response.resources:
            configs[name] = {entry[0]: entry[1] for entry in entries}
    for topic in topics:
        count = len(described[topic.name]["partitions"])
        if count != topic.partitions:
            found.append(f"{topic.name} has {count} partitions, not {topic.partitions}")
        for key in ("cleanup.policy", "message.timestamp.type"):
            if configs[topic.name].get(key) != topic.config[key]:
                actual = configs[topic.name].get(key)
                found.append(f"{topic.name} has {key}={actual}, not {topic.config[key]}")
    return found
