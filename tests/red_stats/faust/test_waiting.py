"""What a process does while Kafka is away: wait; and when Kafka will not have it: end."""

from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from aiokafka.errors import KafkaConnectionError

from red_stats.faust.app import enter_with_retries


class Ended(BaseException):
    """What `fatal` does to a process."""


def fatal(reason):
    raise Ended(reason)


async def test_a_process_waits_for_kafka_and_ends_once_kafka_refuses_it():
    answers = [None, None, "wrong password"]
    opened = []

    @asynccontextmanager
    async def resource():
        opened.append(len(opened))
        raise KafkaConnectionError("away")
        yield

    async def refused(error):
        return answers[len(opened) - 1]

    async with AsyncExitStack() as stack:
        with pytest.raises(Ended, match=r"live: wrong password"):
            await enter_with_retries(stack, resource, "live", lambda: False, fatal, refused)

    assert len(opened) == len(answers)
