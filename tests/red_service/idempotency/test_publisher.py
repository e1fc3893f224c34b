import asyncio
import uuid

import pytest
from aiokafka import AIOKafkaProducer

from red_common import events
from red_common.kafka.connection import KafkaConnection
from red_service.idempotency.publisher import TransactionalPublisher
from tests.builders import a_client_of, a_measurement
from tests.conftest import PARTITIONS

PARTITION = 2


@pytest.fixture
async def publisher(kafka):
    made = TransactionalPublisher(KafkaConnection(kafka), f"find-{uuid.uuid4()}")
    yield made
    await made.stop()


async def test_events_behind_the_open_transaction_of_another_are_waited_for_and_not_taken_as_missing(
    kafka, publisher
):
    client_id, image_id = a_client_of(PARTITION, PARTITIONS, prefix="find"), str(uuid.uuid4())
    _, start = await publisher.log_end_of(client_id)
    other = AIOKafkaProducer(bootstrap_servers=kafka, transactional_id=f"other-{uuid.uuid4()}")
    async with other:
        await other.begin_transaction()
        await other.send_and_wait(events.TOPIC, b"{}", client_id.encode(), partition=PARTITION)
        value = a_measurement(client_id, image_id=image_id)
        [position] = await publisher.publish(client_id, PARTITION, [value], "")

        finding = asyncio.create_task(publisher.find(PARTITION, start, [image_id]))
        done, _ = await asyncio.wait([finding], timeout=3)
        assert not done, "what is committed cannot be read before the other transaction ends"
        await other.abort_transaction()

        assert await finding == {image_id: position}
