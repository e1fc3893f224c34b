"""Kafka's clock far behind RED's: an image that would be a dead letter is not acknowledged."""

import time
import uuid
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from aiokafka import TopicPartition
from obstore.store import LocalStore

from red_common.kafka.connection import KafkaConnection
from red_common.kafka.end_offsets import LogEnds
from red_common.kafka.partitioner import partition_of
from red_service.idempotency.publisher import TransactionalPublisher
from red_service.idempotency.requests import IdempotentRequests
from red_service.idempotency.store import IntentStore
from red_service.pipeline import Prepared
from red_service.problems import NotStored, UnknownOutcome
from red_service.publisher import Publisher
from red_service.upload import Upload
from red_stats import topics
from red_stats.kafka.changelog_loader import read_to_end
from tests.builders import a_measurement
from tests.conftest import PARTITIONS

HOUR = 3600


def a_client():
    return f"clocks-{uuid.uuid4().hex[:8]}"


def measured_at(client_id, ahead):
    """The event of a RED whose clock is `ahead` seconds fast."""
    image_id = str(uuid.uuid4())
    at = int((time.time() + ahead) * 1000)
    return Prepared(image_id, a_measurement(client_id, 0.5, at, image_id=image_id), {"image_id": image_id})


def a_pipeline(*ahead):
    """Measures one image at a time, by a clock that is set anew before each."""
    clocks = iter(ahead)

    async def prepare_all(client_id, uploads):
        return [measured_at(client_id, next(clocks))]

    return SimpleNamespace(prepare_all=prepare_all)


async def committed(kafka, client_id):
    """Values of the client's events in the log, to its end."""
    found = []
    tp = TopicPartition(topics.MEASUREMENTS, partition_of(client_id, PARTITIONS))
    ends = LogEnds(KafkaConnection(kafka))
    await read_to_end(KafkaConnection(kafka), {tp: found.append}, await ends.ends([tp]))
    await ends.stop()
    return [record.value for record in found if record.key == client_id.encode()]


async def test_an_image_from_kafkas_future_is_not_acknowledged(kafka):
    publisher, client_id = Publisher(KafkaConnection(kafka), now=time.time), a_client()
    await publisher.start(10)
    with pytest.raises(UnknownOutcome):
        await publisher.publish(client_id, measured_at(client_id, HOUR).value, "")
    await publisher.publish(client_id, measured_at(client_id, 0).value, "")
    await publisher.stop()


@pytest.fixture
async def requests(kafka, tmp_path):
    """Makes IdempotentRequests on a pipeline."""
    publisher = TransactionalPublisher(KafkaConnection(kafka), f"clocks-{uuid.uuid4()}")
    intents = IntentStore(LocalStore(tmp_path))
    lease = timedelta(seconds=30)
    yield lambda pipeline: IdempotentRequests(
        pipeline, intents, publisher, lease=lease, now=lambda: datetime.now(UTC)
    )
    await publisher.stop()


async def test_a_keyed_image_is_measured_again_when_the_clock_was_set_back_in_between(kafka, requests):
    client_id = a_client()
    request = (client_id, "key", [Upload(None, b"image")], False, "")

    [item] = await requests(a_pipeline(HOUR, 0)).items(*request)

    [value] = await committed(kafka, client_id)
    assert item["image_id"].encode() in value
    assert await requests(a_pipeline()).items(*request) == [item]


async def test_a_keyed_image_counts_once_the_clock_is_right_and_not_before(kafka, requests):
    client_id = a_client()
    request = (client_id, "key", [Upload(None, b"image")], False, "")
    with pytest.raises(NotStored):
        await requests(a_pipeline(HOUR, HOUR)).items(*request)
    assert await committed(kafka, client_id) == []

    [item] = await requests(a_pipeline(0)).items(*request)

    [value] = await committed(kafka, client_id)
    assert item["image_id"].encode() in value
