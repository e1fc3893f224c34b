"""Waiting for the result of a command among whatever else stands on red.command-results."""

import asyncio
from types import SimpleNamespace

import orjson
import pytest

from red_common.kafka.connection import KafkaConnection
from red_common.problems import Problem
from red_stats.kafka.command_client import CommandClient


class Sent:
    async def send(self, topic, key, value):
        """Acknowledged at once."""


def a_rejection(**changes):
    problem = Problem("not_found", "There is no such subscription.").as_dict()
    fields = {"command_id": "c", "client_id": "me", "status": "rejected", "command_position": "1:7"}
    return orjson.dumps(fields | {"problem": problem} | changes)


@pytest.mark.parametrize(
    "garbage",
    [
        None, b"", b"\xff", b"{", b"null", b"[]", b"{}", b'{"x":' + b"[" * 100_000,
        a_rejection(client_id="somebody-else"), a_rejection(problem={}), a_rejection(problem=None),
        a_rejection(status="accepted"), a_rejection(command_position="1:\u0661"),
    ],
)  # fmt: skip
async def test_garbage_among_the_results_keeps_nobody_from_theirs(garbage):
    client = CommandClient(KafkaConnection("127.0.0.1:1"), Sent())
    asking = asyncio.create_task(client.ask({"command_id": "c", "client_id": "me"}))
    await asyncio.sleep(0)

    client.follower._apply(SimpleNamespace(value=garbage))
    client.follower._apply(SimpleNamespace(value=a_rejection()))

    with pytest.raises(Problem) as caught:
        await asking
    assert (caught.value.code, caught.value.status) == ("not_found", 404)
