"""An aiokafka client that does not shut down must hold up nobody else."""

import asyncio
import contextlib

import pytest

from red_common.kafka.connection import KafkaConnection
from red_common.kafka.shutdown import ended
from red_service.idempotency.publisher import TransactionalPublisher
from red_service.problems import UnknownOutcome
from tests.builders import a_measurement, a_subscription_id


async def stubborn(released):
    """Outlives its cancellation."""
    while not released.is_set():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0.02)


async def test_what_does_not_end_is_left_behind():
    released = asyncio.Event()

    assert not await ended(stubborn(released), 0.01)
    released.set()
    assert await ended(asyncio.sleep(0), 5)


async def test_what_fails_has_ended():
    async def fail():
        raise RuntimeError("no")

    assert await ended(fail(), 5)


@pytest.mark.parametrize("failure", [TimeoutError(), RuntimeError("unforeseen")])
async def test_a_keyed_request_whose_producer_does_not_end_holds_up_no_later_one(kafka, monkeypatch, failure):
    released = asyncio.Event()
    publisher = TransactionalPublisher(KafkaConnection(kafka), f"stubborn-{a_subscription_id()}")
    partition, _ = await publisher.log_end_of("anna")
    events = [a_measurement("anna", 0.1)]
    await publisher.publish("anna", partition, events, "")
    client = publisher._producer.client
    synchronizer, client._sync_task = client._sync_task, asyncio.create_task(stubborn(released))

    async def failing(*_):
        raise failure

    with monkeypatch.context() as patched:
        patched.setattr("red_service.idempotency.publisher._transaction", failing)
        with pytest.raises(UnknownOutcome):
            await publisher.publish("anna", partition, events, "")
    try:
        async with asyncio.timeout(15):
            [position] = await publisher.publish("anna", partition, events, "")
    finally:
        released.set()

    assert position.partition == partition
    synchronizer.cancel()
    await publisher.stop()
