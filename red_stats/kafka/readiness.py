"""Whether a cluster can be used: a record is written and read back by a consumer group."""

import uuid
from typing import Final

from aiokafka.admin import NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from red_common.kafka.connection import KafkaConnection

TOPIC: Final = "red-stats-ready"


async def write_and_read(connection: KafkaConnection) -> None:
    """Write a record to the topic `red-stats-ready` and read it back with a group of its own.

    Raises:
        KafkaError, OSError: Kafka does not answer (yet).
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
    token = uuid.uuid4().bytes
    async with connection.producer() as producer:
        await producer.send_and_wait(TOPIC, token)
    group = f"{TOPIC}-{token.hex()}"
    async with connection.consumer(TOPIC, group_id=group, auto_offset_reset="earliest") as consumer:
        async for record in consumer:
            if record.value == token:
                return
