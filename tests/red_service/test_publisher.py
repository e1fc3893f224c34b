"""Publishing events to a real Kafka."""

import logging
import time

import pytest

from red_common.kafka.connection import KafkaConnection
from red_service import metrics
from red_service.publisher import Publisher
from tests.builders import a_measurement


@pytest.mark.parametrize(("ahead", "logged"), [(0, 0), (3600, 1)])
async def test_a_clock_far_ahead_of_kafkas_is_logged_once(kafka, caplog, ahead, logged):
    publisher = Publisher(KafkaConnection(kafka), now=lambda: time.time() + ahead)
    await publisher.start(10)
    with caplog.at_level(logging.ERROR, "red_service"):
        for _ in range(3):
            await publisher.publish("clock", a_measurement("clock", 0.1), "")
    await publisher.stop()

    assert sum("ahead of Kafka's" in record.getMessage() for record in caplog.records) == logged
    assert abs(metrics.CLOCK_AHEAD._value.get() - ahead) < 30
