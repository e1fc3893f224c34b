"""Whether a cluster can be used: a record written, read back, and a group joined."""

import uuid
from typing import Final

from aiokafka.admin import NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from red_common.kafka.connection import KafkaConnection

TOPIC: Final = "red-stats-ready"


async def write_and_read(connection: KafkaConnection) -> None:
    """Returns when a record has gone through a topic of its own and a group.

    Raises:
        KafkaError, OSError: Kafka does not answer, or not yet.
    """
    admin = connection.admin()
    await admin.start()
    try:
        created = await admin.create_topics([NewTopic(TOPIC, 1, 1)])
        error = for_code(created.topic_errors[0][1])
        if created.topic_errors[0][1] and error is not TopicAlreadyExistsError:
            raise error
    finally:
        await admin.close()
    word = uuid.uuid4().bytes
    async with connection.producer() as producer:
        await producer.send_and_wait(TOPIC, word)
    group = f"{TOPIC}-{word.hex()}"
    async with connection.consumer(TOPIC, group_id=group, auto_offset_reset="earliest") as consumer:
        async for record in consumer:
            if record.value == word:
                return
