"""Kafka's clock far behind RED's: what would be a dead letter is not acknowledged."""

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
from red_service.idempotency.publisher import KeyedPublisher
from red_service.idempotency.requests import Keyed
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
    """An event of a RED whose clock is so many seconds ahead."""
    image_id = str(uuid.uuid4())
    at = int((time.time() + ahead) * 1000)
    return Prepared(image_id, a_measurement(client_id, 0.5, at, image_id=image_id), {"image_id": image_id})


def measuring(*ahead):
    """Measures one image at a time, by a clock that is set between them."""
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
async def keyed(kafka, tmp_path):
    """Makes a Keyed around what measures."""
    publisher = KeyedPublisher(KafkaConnection(kafka), f"clocks-{uuid.uuid4()}")
    memory = IntentStore(LocalStore(tmp_path))
    lease = timedelta(seconds=30)
    yield lambda measuring: Keyed(measuring, memory, publisher, lease=lease, now=lambda: datetime.now(UTC))
    await publisher.stop()


async def test_a_keyed_image_is_measured_again_when_the_clock_was_set_back_meanwhile(kafka, keyed):
    client_id = a_client()
    request = (client_id, "key", [Upload(None, b"image")], False, "")

    [item] = await keyed(measuring(HOUR, 0)).items(*request)

    [value] = await committed(kafka, client_id)
    assert item["image_id"].encode() in value
    assert await keyed(measuring()).items(*request) == [item]


async def test_a_keyed_image_counts_once_the_clock_is_right_and_not_before(kafka, keyed):
    client_id = a_client()
    request = (client_id, "key", [Upload(None, b"image")], False, "")
    with pytest.raises(NotStored):
        await keyed(measuring(HOUR, HOUR)).items(*request)
    assert await committed(kafka, client_id) == []

    [item] = await keyed(measuring(0)).items(*request)

    [value] = await committed(kafka, client_id)
    assert item["image_id"].encode() in value
